"""What Kafka knows: topics, how far they reach, and how far the group has read."""

from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from herald.outbox.kafka.clients import ANSWER_TIMEOUT, explanation, make_admin
from herald.outbox.kafka.offsets import partitions_of, read_committed, read_end_offsets
from herald.outbox.kafka.owner import find_owner
from herald.outbox.kafka.topics import names
from herald.outbox.registry import TOPICS
from herald.outbox.settings import Settings


def read_kafka(settings: Settings) -> dict[str, Any]:
    """Ask Kafka; what it cannot answer within five seconds becomes the `error`, which says why the rest is empty.

    `owner` is the instance whose topics these are, None where nobody's or where `owner_error` says why it is not known.
    """
    told = {"brokers": 0, "group": settings.group, "owner": None, "owner_error": None, "topics": {}, "error": None}
    admin = make_admin(settings)
    try:
        metadata = admin.list_topics(timeout=ANSWER_TIMEOUT)
        partitions = partitions_of(metadata, names())
        ends, committed = read_end_offsets(admin, partitions), read_committed(settings, partitions)
    except KafkaException as error:
        return {**told, "error": explanation(error)}
    topics = {name: _topic(name, ends[name], committed.get(name, {})) for name in names() if name in ends}
    return {**told, "brokers": len(metadata.brokers), **_read_owner(settings, admin), "topics": topics}


def _read_owner(settings: Settings, admin: AdminClient) -> dict[str, str | None]:
    try:
        return {"owner": find_owner(settings, admin)}
    except KafkaException as error:
        return {"owner_error": explanation(error)}


def _topic(name: str, ends: Mapping[str, int], committed: Mapping[str, int]) -> dict[str, int | None]:
    """`records` is the sum of the end offsets; `lag` is None where the group has no part in it."""
    behind = sum(end - committed.get(partition, 0) for partition, end in ends.items())
    return {"partitions": len(ends), "records": sum(ends.values()), "lag": behind if name in TOPICS else None}
