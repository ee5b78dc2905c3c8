"""What Kafka knows: topics, how far they reach, and how far the group has read."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from herald.outbox.kafka.clients import ANSWER_TIMEOUT, explanation, make_admin
from herald.outbox.kafka.offsets import partitions_of, read_committed, read_end_offsets
from herald.outbox.kafka.owner import find_owner
from herald.outbox.kafka.topics import names
from herald.outbox.registry import TOPICS
from herald.outbox.settings import Settings


@dataclass(frozen=True)
class TopicStatus:
    """One topic; `lag` is None where the group has no part in it."""

    name: str
    partitions: int
    records: int  # the sum of the end offsets
    lag: int | None


@dataclass(frozen=True)
class KafkaStatus:
    """`error` says why the rest is empty.

    `owner` is the instance whose topics these are, None where nobody's or where `owner_error` says why it is not known.
    """

    brokers: int = 0
    topics: list[TopicStatus] = field(default_factory=list)
    error: str | None = None
    owner: str | None = None
    owner_error: str | None = None


def read_kafka(settings: Settings) -> KafkaStatus:
    """Ask Kafka; what it cannot answer within five seconds becomes the reason."""
    admin = make_admin(settings)
    try:
        metadata = admin.list_topics(timeout=ANSWER_TIMEOUT)
        partitions = partitions_of(metadata, names())
        ends, committed = read_end_offsets(admin, partitions), read_committed(settings, partitions)
    except KafkaException as error:
        return KafkaStatus(error=explanation(error))
    owner, owner_error = _read_owner(settings, admin)
    topics = [_topic(name, ends[name], committed.get(name, {})) for name in names() if name in ends]
    return KafkaStatus(len(metadata.brokers), topics, owner=owner, owner_error=owner_error)


def _read_owner(settings: Settings, admin: AdminClient) -> tuple[str | None, str | None]:
    """The owner, and why it is not known."""
    try:
        return find_owner(settings, admin), None
    except KafkaException as error:
        return None, explanation(error)


def _topic(name: str, ends: Mapping[str, int], committed: Mapping[str, int]) -> TopicStatus:
    behind = sum(end - committed.get(partition, 0) for partition, end in ends.items())
    return TopicStatus(name, len(ends), sum(ends.values()), behind if name in TOPICS else None)
