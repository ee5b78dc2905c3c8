"""What stands on Kafka, all of it from the beginning, as the pipeline would read it."""

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer

from herald.outbox.kafka.clients import ANSWER_TIMEOUT, librdkafka
from herald.outbox.kafka.topic_names import TopicNames
from herald.outbox.kafka.topics import names
from herald.outbox.settings import Settings
from herald.pipeline.consume.record import Arrival

BATCH = 1_000  # records at once
PAUSE = 0.02  # seconds to wait for more

Place = tuple[str, int, int]  # topic, partition, offset


class Records:
    """Every record of every topic so far; `read` adds what has come since."""

    def __init__(self, consumer: Consumer, topics: TopicNames) -> None:
        self._consumer = consumer
        self._topics = topics
        self.arrivals: list[Arrival] = []

    def read(self) -> list[Arrival]:
        """Everything there is. Raises KafkaException."""
        while found := self._consumer.consume(BATCH, PAUSE):
            self.arrivals.extend(_arrival(one, self._topics) for one in found)
        return self.arrivals


@contextmanager
def reading(settings: Settings) -> Iterator[Records]:
    """Read the topics, which must exist, without a group."""
    limits = {"group.id": "herald-testing", "enable.auto.commit": False, "fetch.wait.max.ms": 10}
    consumer = Consumer({**librdkafka(settings), **limits})
    try:
        topics = TopicNames(settings.topic_prefix)
        found = topics.own(consumer.list_topics(timeout=ANSWER_TIMEOUT).topics)
        consumer.assign([topics.place(name, number, 0) for name in names() for number in found[name].partitions])
        yield Records(consumer, topics)
    finally:
        consumer.close()


def publish(settings: Settings, topic: str, arrival: tuple[bytes | None, str | None, dict[str, str]]) -> Place:
    """Put a record on a topic: value, key and headers. Raises KafkaException when Kafka does not take it."""
    value, key, headers = arrival
    told: list[tuple[KafkaError | None, Message]] = []
    topics = TopicNames(settings.topic_prefix)
    producer = Producer(librdkafka(settings))
    producer.produce(
        topics.on_kafka(topic),
        value,
        key,
        headers=list(headers.items()),
        on_delivery=lambda *report: told.append(report),
    )
    if producer.flush(ANSWER_TIMEOUT) or not told:
        raise KafkaException(KafkaError(KafkaError._MSG_TIMED_OUT))  # noqa: SLF001 - how librdkafka names its own errors
    error, taken = told[0]
    if error is not None:
        raise KafkaException(error)
    return _place(taken, topics)


class Origin(msgspec.Struct, frozen=True):
    """What the headers of a record say about it: Herald's event, or the place of a record that was buried."""

    event: str | None = None
    buried: Place | None = None


def origin(arrival: Arrival, source: str) -> Origin:
    """An event's id is `<stream>.<version>`; another producer's record has neither."""
    headers = {name: value.decode(errors="replace") for name, value in arrival.headers or [] if value is not None}
    if "herald_reason" in headers:
        place = headers["herald_topic"], int(headers["herald_partition"]), int(headers["herald_offset"])
        return Origin(buried=place)
    return Origin(event=headers["ce_id"] if headers.get("ce_source") == source and "ce_id" in headers else None)


def _arrival(message: Message, topics: TopicNames) -> Arrival:
    if message.error() is not None:
        raise KafkaException(message.error())
    _, timestamp = message.timestamp()
    return Arrival(message.value(), message.key(), timestamp, message.headers(), *_place(message, topics))


def _place(message: Message, topics: TopicNames) -> Place:
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    return topics.here(str(topic)), int(partition or 0), int(offset or 0)
