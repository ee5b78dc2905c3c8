"""How far topics reach, and how far the group has read."""

from collections.abc import Iterable, Mapping
from contextlib import closing
from operator import attrgetter
from time import monotonic

import structlog
from confluent_kafka import Consumer, IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, ClusterMetadata, OffsetSpec

from herald.outbox.kafka.clients import ANSWER_TIMEOUT, answer_to, librdkafka
from herald.outbox.kafka.topic_names import TopicNames
from herald.outbox.settings import Settings

Offsets = dict[str, dict[str, int]]  # topic → partition → offset; partitions as text, as JSON keeps them
Partitions = Mapping[str, Iterable[int]]
_offset = attrgetter("offset")  # of what Kafka tells; the library's stubs lack its type
_log = structlog.get_logger()


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
        offsets.setdefault(place.topic, {})[str(place.partition)] = _offset(answer_to(future))
    return offsets


def read_ends_told(admin: AdminClient, metadata: ClusterMetadata, names: Iterable[str]) -> Offsets:
    """Where the partitions of these topics end, of those whose leader answers in time; the others are left out."""
    return _read_told(admin, metadata, names, OffsetSpec.latest())


def read_first_told(admin: AdminClient, metadata: ClusterMetadata, names: Iterable[str]) -> Offsets:
    """Where they begin, in the same way."""
    return _read_told(admin, metadata, names, OffsetSpec.earliest())


def _read_told(admin: AdminClient, metadata: ClusterMetadata, names: Iterable[str], spec: OffsetSpec) -> Offsets:
    """Each broker is asked for itself: one that does not answer takes no other's answer along."""
    deadline = monotonic() + ANSWER_TIMEOUT
    asked = [
        place
        for places in _places_by_leader(metadata, names).values()
        for place in admin.list_offsets(
            dict.fromkeys(places, spec),
            isolation_level=IsolationLevel.READ_UNCOMMITTED,
            request_timeout=ANSWER_TIMEOUT,
        ).items()
    ]
    offsets: Offsets = {}
    for place, future in asked:
        try:
            offset = int(_offset(future.result(max(0.0, deadline - monotonic()))))
        except (KafkaException, TimeoutError) as error:
            _log.debug("offset_not_told", topic=place.topic, partition=place.partition, reason=str(error))
        else:
            offsets.setdefault(place.topic, {})[str(place.partition)] = offset
    return offsets


def _places_by_leader(metadata: ClusterMetadata, names: Iterable[str]) -> dict[int, list[TopicPartition]]:
    places: dict[int, list[TopicPartition]] = {}
    for name in names:
        topic = metadata.topics.get(name)
        for number, partition in topic.partitions.items() if topic else ():
            if partition.leader in metadata.brokers:
                places.setdefault(partition.leader, []).append(TopicPartition(name, number))
    return places


def read_committed(settings: Settings, partitions: Partitions) -> Offsets:
    """What the group has committed of these partitions; those without a commit are left out. Raises KafkaException.

    Asked by a consumer that joins nothing: an admin client ends the process on the answer NOT_COORDINATOR
    (librdkafka 2.12.1, a null pointer), which comes whenever the group's broker changes; a consumer asks again.
    """
    places = _ask_committed(settings, partitions)
    for place in places:
        if place.error is not None:
            raise KafkaException(place.error)
    return _by_topic(settings, places)


def read_committed_told(settings: Settings, partitions: Partitions) -> Offsets:
    """The same, where a partition that the group's broker does not tell is left out like one without a commit."""
    return _by_topic(settings, [place for place in _ask_committed(settings, partitions) if place.error is None])


def _ask_committed(settings: Settings, partitions: Partitions) -> list[TopicPartition]:
    topics = TopicNames(settings.topic_prefix)
    asked = [topics.place(name, number) for name, numbers in partitions.items() for number in numbers]
    if not asked or not settings.group:  # nobody knows whose group
        return []
    group = {"group.id": settings.group, "enable.auto.commit": False}
    with closing(Consumer({**librdkafka(settings), **group})) as consumer:
        return list(consumer.committed(asked, timeout=ANSWER_TIMEOUT))


def _by_topic(settings: Settings, places: Iterable[TopicPartition]) -> Offsets:
    topics = TopicNames(settings.topic_prefix)
    committed: Offsets = {}
    for place in places:
        if place.offset >= 0:
            committed.setdefault(topics.here(place.topic), {})[str(place.partition)] = place.offset
    return committed
