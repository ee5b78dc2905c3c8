"""From Kafka to requests: Quix hands records over, they are read, and decoded one by one.

Begin with `application`, `inbox` and `decoding`; `topic_ids` and `connection` may wait.
"""
