"""Kafka: clients, topics by name and by id, how far each was read, and whose they are.

Begin with `clients`; `owner` and `owner_topic` may wait.
"""
