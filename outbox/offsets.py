"""How far topics reach, and how far the group has read."""

from collections.abc import Iterable, Mapping
from contextlib import closing

from confluent_kafka import Consumer, IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, ClusterMetadata, OffsetSpec

from outbox.kafka import ANSWER_TIMEOUT, answer_to, librdkafka
from outbox.settings import Settings

Offsets = dict[str, dict[str, int]]  # topic → partition → offset; partitions as text, as JSON keeps them
Partitions = Mapping[str, Iterable[int]]


def partitions_of(metadata: ClusterMetadata, names: Iterable[str]) -> dict[str, list[int]]:
    """The partitions of those of the topics that exist."""
    return {name: list(metadata.topics[name].partitions) for name in names if name in metadata.topics}


def read_end_offsets(admin: AdminClient, partitions: Partitions) -> Offsets:
    """Where these partitions end; a topic without partitions is left out. Raises KafkaException."""
    return _read_offsets(admin, partitions, OffsetSpec.latest())


def read_first_offsets(admin: AdminClient, partitions: Partitions) -> Offsets:
    """Where these partitions begin: what was there before, Kafka has removed. Raises KafkaException."""
    return _read_offsets(admin, partitions, OffsetSpec.earliest())


def read_offsets_since(admin: AdminClient, partitions: Partitions, timestamp: int) -> Offsets:
    """The first record of that time or later (milliseconds since 1970); -1 where there is none."""
    return _read_offsets(admin, partitions, OffsetSpec.for_timestamp(timestamp))


def _read_offsets(admin: AdminClient, partitions: Partitions, spec: OffsetSpec) -> Offsets:
    asked = {TopicPartition(name, number): spec for name, numbers in partitions.items() for number in numbers}
    if not asked:
        return {}
    found = admin.list_offsets(asked, isolation_level=IsolationLevel.READ_UNCOMMITTED, request_timeout=ANSWER_TIMEOUT)
    offsets: Offsets = {}
    for place, future in found.items():
        offset = answer_to(future).offset  # type: ignore[attr-defined]  # the stub lacks it
        offsets.setdefault(place.topic, {})[str(place.partition)] = offset
    return offsets


def read_committed(settings: Settings, partitions: Partitions) -> Offsets:
    """What the group has committed of these partitions; those without a commit are left out. Raises KafkaException.

    Asked by a consumer that joins nothing: an admin client ends the process on the answer NOT_COORDINATOR
    (librdkafka 2.12.1, a null pointer), which comes whenever the group's broker changes; a consumer asks again.
    """
    asked = [TopicPartition(name, number) for name, numbers in partitions.items() for number in numbers]
    if not asked:
        return {}
    group = {"group.id": settings.group, "enable.auto.commit": False}
    committed: Offsets = {}
    with closing(Consumer({**librdkafka(settings), **group})) as consumer:
        for place in consumer.committed(asked, timeout=ANSWER_TIMEOUT):
            if place.error is not None:
                raise KafkaException(place.error)
            if place.offset >= 0:
                committed.setdefault(place.topic, {})[str(place.partition)] = place.offset
    return committed
