"""What stands on Kafka, all of it from the beginning, as the pipeline would read it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer

from herald.outbox.kafka.clients import ANSWER_TIMEOUT, librdkafka, own_code
from herald.outbox.kafka.topic_names import TopicNames
from herald.outbox.kafka.topics import names
from herald.outbox.settings import Settings
from herald.pipeline.consume.record import Arrival

BATCH = 1_000  # records at once
PAUSE = 0.02  # seconds to wait for more

Place = tuple[str, int, int]  # topic, partition, offset


class Records:
    """Every record of every topic so far, by its place; `read` adds what has come since."""

    def __init__(self, consumer: Consumer, settings: Settings) -> None:
        self._consumer = consumer
        self._topics = TopicNames(settings.topic_prefix)
        self._source = settings.source
        self.arrivals: dict[Place, Arrival] = {}
        self.events: set[str] = set()  # of Herald's own: `<stream>.<version>`
        self.buried: set[Place] = set()  # where the dead letters stood

    def read(self) -> None:
        """Raises KafkaException."""
        while found := self._consumer.consume(BATCH, PAUSE):
            for one in found:
                if one.error() is not None:
                    raise KafkaException(one.error())
                self._take(one, _place(one, self._topics))

    def _take(self, one: Message, place: Place) -> None:
        written = one.headers()
        self.arrivals[place] = Arrival(one.value(), one.key(), one.timestamp()[1], written, *place)
        headers = {name: value.decode(errors="replace") for name, value in written or [] if value is not None}
        if "herald_reason" in headers:
            where = headers["herald_topic"], headers["herald_partition"], headers["herald_offset"]
            self.buried.add((where[0], int(where[1]), int(where[2])))
        elif headers.get("ce_source") == self._source and "ce_id" in headers:
            self.events.add(headers["ce_id"])


@contextmanager
def reading(settings: Settings) -> Iterator[Records]:
    """Read the topics, which must exist, without a group."""
    limits = {"group.id": "herald-testing", "enable.auto.commit": False, "fetch.wait.max.ms": 10}
    consumer = Consumer({**librdkafka(settings), **limits})
    try:
        topics = TopicNames(settings.topic_prefix)
        found = topics.own(consumer.list_topics(timeout=ANSWER_TIMEOUT).topics)
        consumer.assign([topics.place(name, number, 0) for name in names() for number in found[name].partitions])
        yield Records(consumer, settings)
    finally:
        consumer.close()


def publish(settings: Settings, topic: str, value: bytes, key: str | None, headers: Mapping[str, str]) -> Place:
    """Put a record on a topic. Raises KafkaException when Kafka does not take it."""
    told: list[tuple[KafkaError | None, Message]] = []
    topics, producer = TopicNames(settings.topic_prefix), Producer(librdkafka(settings))
    named = topics.on_kafka(topic)
    producer.produce(named, value, key, headers=list(headers.items()), on_delivery=lambda *report: told.append(report))
    if producer.flush(ANSWER_TIMEOUT) or not told:
        raise KafkaException(KafkaError(own_code("MSG_TIMED_OUT")))
    error, taken = told[0]
    if error is not None:
        raise KafkaException(error)
    return _place(taken, topics)


def _place(message: Message, topics: TopicNames) -> Place:
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    return topics.here(str(topic)), int(partition or 0), int(offset or 0)
