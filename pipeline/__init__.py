"""Kafka in, deliveries out: `consume` in windows, claim in `work`, `deliver` over `channels`, record.

`process` puts it together; `topic` and `channel` say what is registered. `audit` and `testing` may wait.
"""
