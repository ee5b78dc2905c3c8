"""A topic read from its beginning to its end, and closed again.

librdkafka 2.12 crashes on what the embedded broker says of a topic that is gone: no reader may
stay open while topics are deleted.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

POLL = 0.3  # seconds
ANSWER = 10.0  # seconds


class Reader:
    """Everything on a topic; `read` adds what has come since."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self.records: list[Message] = []

    def read(self) -> list[Message]:
        while (record := self._consumer.poll(POLL)) is not None and record.error() is None:
            self.records.append(record)
        return self.records

    def until(self, count: int) -> list[Message]:
        """Read at most until there are so many: quicker, where one knows how many must come."""
        while len(self.records) < count and (record := self._consumer.poll(POLL)) is not None:
            if record.error() is None:
                self.records.append(record)
        return self.records


@contextmanager
def reading(broker: str, topic: str) -> Iterator[Reader]:
    """Read all partitions of a topic that exists."""
    settings = {"bootstrap.servers": broker, "group.id": "tests", "enable.auto.commit": False, "fetch.wait.max.ms": 10}
    consumer = Consumer(settings)
    try:
        partitions = consumer.list_topics(topic, timeout=ANSWER).topics[topic].partitions
        consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
        yield Reader(consumer)
    finally:
        consumer.close()


def headers(record: Message) -> dict[str, str]:
    found = record.headers()
    assert isinstance(found, list)
    return {name: value.decode() for name, value in found if isinstance(value, bytes)}


def put(broker: str, topic: str, value: bytes) -> None:
    """What another producer would do."""
    producer = Producer({"bootstrap.servers": broker})
    producer.produce(topic, value)
    assert producer.flush(ANSWER) == 0


def delete_topics(broker: str, *topics: str) -> None:
    admin = AdminClient({"bootstrap.servers": broker})
    for deleted in admin.delete_topics(list(topics)).values():
        deleted.result(ANSWER)
