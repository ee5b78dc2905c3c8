"""What Kafka knows: topics, how far they reach, and how far the group has read."""

from dataclasses import dataclass, field

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from outbox.kafka import librdkafka
from outbox.registry import DEAD_LETTERS, TOPICS
from outbox.settings import Settings

TIMEOUT = 5.0  # seconds for each answer
NAMES = (*TOPICS, DEAD_LETTERS)


@dataclass(frozen=True)
class TopicStatus:
    """One topic; `lag` is None where the group has no part in it."""

    name: str
    partitions: int
    records: int  # the sum of the end offsets
    lag: int | None


@dataclass(frozen=True)
class KafkaStatus:
    """`error` says why the rest is empty."""

    brokers: int = 0
    topics: list[TopicStatus] = field(default_factory=list)
    error: str | None = None


def read_kafka(settings: Settings) -> KafkaStatus:
    """Ask Kafka; what it cannot answer within five seconds becomes the reason."""
    admin = AdminClient({**librdkafka(settings), "log_level": 0})  # its own log would only repeat the reason
    try:
        metadata = admin.list_topics(timeout=TIMEOUT)
        found = {name: len(metadata.topics[name].partitions) for name in NAMES if name in metadata.topics}
        places = [TopicPartition(name, number) for name, count in found.items() for number in range(count)]
        ends = _end_offsets(admin, places)
        committed = _committed(admin, settings.group, places)
    except KafkaException as error:
        return KafkaStatus(error=_reason(error))
    return KafkaStatus(len(metadata.brokers), [_topic(name, ends, committed) for name in found])


Offsets = dict[tuple[str, int], int]


def _topic(name: str, ends: Offsets, committed: Offsets) -> TopicStatus:
    mine = {place: end for place, end in ends.items() if place[0] == name}
    behind = [end - max(committed.get(place, 0), 0) for place, end in mine.items()]  # negative: nothing committed yet
    return TopicStatus(name, len(mine), sum(mine.values()), sum(behind) if name in TOPICS else None)


def _end_offsets(admin: AdminClient, places: list[TopicPartition]) -> Offsets:
    if not places:
        return {}
    latest = dict.fromkeys(places, OffsetSpec.latest())
    futures = admin.list_offsets(latest, request_timeout=TIMEOUT)  # type: ignore[call-arg, arg-type]  # the stubs are behind
    return {(place.topic, place.partition): future.result(TIMEOUT).offset for place, future in futures.items()}  # type: ignore[attr-defined]


def _committed(admin: AdminClient, group: str, places: list[TopicPartition]) -> Offsets:
    if not places:
        return {}
    asked = [ConsumerGroupTopicPartitions(group, places)]
    (future,) = admin.list_consumer_group_offsets(asked, request_timeout=TIMEOUT).values()
    answered = future.result(TIMEOUT).topic_partitions
    return {(place.topic, place.partition): place.offset for place in answered}


def _reason(error: KafkaException) -> str:
    cause = error.args[0]
    return cause if isinstance(cause, str) else cause.str()
