"""Kafka as a test sees it: topics made, records produced, read back, offsets asked for."""

from contextlib import closing
from typing import cast

from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from herald.outbox.registry import DEAD_LETTERS, TOPICS
from herald.pipeline.consume.record import Arrival

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
    """How many records of all topics the group has committed.

    Asked by a consumer that joins nothing: while the group's broker loads what it knows an admin client fails, and a
    consumer asks again. Raises AssertionError where it is not told in time: not yet.
    """
    asking = {"bootstrap.servers": broker, "group.id": group, "enable.auto.commit": False}
    with closing(Consumer(asking)) as consumer:
        try:
            topics = consumer.list_topics(timeout=10).topics
            parts = [TopicPartition(name, number) for name, one in topics.items() for number in one.partitions]
            found = consumer.committed(parts, timeout=10)
        except KafkaException as error:
            raise AssertionError(str(error)) from error
    assert all(part.error is None for part in found), found
    return sum(max(0, part.offset) for part in found)
