"""Offsets that cannot be: topics that end below what was noted or committed, records that were removed unread."""

from typing import NamedTuple

import tenacity
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from herald.outbox.kafka.clients import ANSWER_TIMEOUT, code
from herald.outbox.kafka.offsets import (
    Offsets,
    partitions_of,
    read_committed,
    read_end_offsets,
    read_first_offsets,
)
from herald.outbox.kafka.topics import names
from herald.outbox.operate.audit import looking
from herald.outbox.operate.audit.findings import Checked, Suspects
from herald.outbox.operate.audit.looking import Scope
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch_column

ELECTION = 10.0  # seconds in which a partition or a group finds its leader
POLL = 0.2  # seconds
BEING_ELECTED = {
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,  # it was there a moment ago
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError._TIMED_OUT,  # noqa: SLF001 - librdkafka's name; so it says that the group has no leader yet
}
Place = tuple[str, str, int]  # topic, partition, offset


# Until a leader is there; what is asked raises KafkaException.
patiently = tenacity.retry(
    retry=tenacity.retry_if_exception(lambda error: isinstance(error, KafkaException) and code(error) in BEING_ELECTED),
    wait=tenacity.wait_fixed(POLL),
    stop=tenacity.stop_after_delay(ELECTION),
    reraise=True,
)


class Group(NamedTuple):
    """Where the topics begin, and then how far the group has committed: read in this order."""

    first: Offsets
    committed: Offsets


@patiently
def read_group(admin: AdminClient, scope: Scope) -> Group:
    """Raises KafkaException."""
    partitions = _partitions(admin)
    first = read_first_offsets(admin, partitions)
    of_a_deleted_topic = range(scope.settings.partitions)  # its commits may still be there
    return Group(first, read_committed(scope.settings, {**dict.fromkeys(names(), of_a_deleted_topic), **partitions}))


@patiently
def read_ends(admin: AdminClient) -> Offsets:
    """Where all of Herald's topics end. Raises KafkaException."""
    return read_end_offsets(admin, _partitions(admin))


def _partitions(admin: AdminClient) -> dict[str, list[int]]:
    return partitions_of(admin.list_topics(timeout=ANSWER_TIMEOUT), names())


def check_unread(group: Group, scope: Scope) -> Checked:
    """Where the group stands below the first record there is: what was in between, nobody has read.

    The first offsets are read before the committed ones, and both only grow: had the group read that far in
    the meantime, it would show.
    """
    gone = Suspects(scope.limit)
    for topic, partition, committed in places(group.committed):
        if committed < group.first.get(topic, {}).get(partition, 0):
            gone.add(f"{topic}/{partition}")
    says = "{count} partitions from which Kafka removed records before the group had read them"
    advice = (
        "Herald's own requests are requested again behind the consumer; other producers' messages are gone."
        " Keep records longer"
    )
    return Checked("removed-unread", f"group {scope.settings.group}", gone.found("loss", says, advice))


def read_noted(connection: Connection, group: Group) -> set[Place]:
    """What was noted of the topics' ends, and how far the group has committed: no topic may end below."""
    noted = fetch_column(connection, "SELECT end_offsets FROM relay_pages")
    committed = {name: group.committed[name] for name in names() if name in group.committed}
    return {place for offsets in (*noted, committed) for place in places(offsets)}


def check_ends(connection: Connection, admin: AdminClient, scope: Scope, noted: set[Place], ends: Offsets) -> Checked:
    """Topics that end below an offset that was noted or committed: they were made anew, or lost records.

    These offsets are read before the ends, which only grow. While a topic is made anew they speak of the one
    before, until relay and pipeline have seen that: the second look counts only what still speaks of it. Raises
    KafkaException.
    """
    short = _short(noted, ends)
    if short:
        looking.wait(looking.SECOND_LOOK)
        short &= _short(read_noted(connection, read_group(admin, scope)), read_ends(admin))
    found = Suspects(scope.limit, sorted({f"{topic}/{number}" for topic, number, _ in short}))
    says = "{count} partitions end below an offset that was noted or committed"
    advice = "did Kafka lose records? What was pending there is requested again behind the consumer; see topic-ids"
    looked_at = f"{len(noted):,} noted or committed offsets"
    return Checked("end-offsets", looked_at, found.found("contradiction", says, advice))


def places(offsets: Offsets) -> list[Place]:
    """Topic, partition and offset, one by one."""
    return [
        (topic, partition, offset) for topic, partitions in offsets.items() for partition, offset in partitions.items()
    ]


def _short(noted: set[Place], ends: Offsets) -> set[Place]:
    return {place for place in noted if ends.get(place[0], {}).get(place[1], 0) < place[2]}
