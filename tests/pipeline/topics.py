"""Kafka as a test sees it: topics made, records produced, read back, offsets asked for."""

from typing import cast

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, Message, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from outbox.registry import DEAD_LETTERS, TOPICS
from pipeline.records import Arrival

SESSION = {"session.timeout.ms": 1000, "heartbeat.interval.ms": 200}  # the embedded broker waits half a session


def make_topics(broker: str, *more: str, partitions: int = 2) -> None:
    admin = AdminClient({"bootstrap.servers": broker})
    wanted = [NewTopic(name, partitions, 1) for name in (*TOPICS, DEAD_LETTERS, *more)]
    for made in admin.create_topics(wanted).values():
        made.result(10)


def publish(broker: str, *arrivals: Arrival) -> None:
    producer = Producer({"bootstrap.servers": broker})
    for one in arrivals:
        producer.produce(
            one.topic, one.value, one.key, headers=cast("list[tuple[str, str | bytes]]", list(one.headers or []))
        )
    assert producer.flush(10) == 0


def first_record(broker: str, topic: str) -> Message:
    settings = {"bootstrap.servers": broker, "group.id": "readers", "auto.offset.reset": "earliest"}
    consumer = Consumer({**settings, **SESSION})
    consumer.subscribe([topic])
    try:
        record = consumer.poll(20.0)
        assert record is not None, f"nothing on {topic}"
        return record
    finally:
        consumer.close()


def committed(broker: str, group: str = "herald") -> int:
    """How many records of all topics the group has committed."""
    admin = AdminClient({"bootstrap.servers": broker})
    (asked,) = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)]).values()
    return sum(max(0, part.offset) for part in asked.result(10).topic_partitions or [])
