"""The relay's cursor and the group's place, and the clusters, topics and offsets they speak of: what cannot be."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import tenacity
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from herald.outbox.kafka.clients import ANSWER_TIMEOUT, code, own_code
from herald.outbox.kafka.offsets import Offsets, partitions_of, read_committed, read_end_offsets, read_first_offsets
from herald.outbox.kafka.topics import load_topic_ids, names, read_cluster_id, read_topic_ids
from herald.outbox.operate.audit import looking
from herald.outbox.operate.audit.findings import Checked, Finding, Suspects
from herald.outbox.operate.audit.looking import Scope
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch_column, fetch_named

MOVED = "stop every relay and run `herald relay --rebase --moved`"
ELECTION = 10.0  # seconds in which a partition or a group finds its leader
POLL = 0.2  # seconds
BEING_ELECTED = {
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,  # it was there a moment ago
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    own_code("TIMED_OUT"),  # librdkafka says so where the group has no leader yet
}

# The cursor's row is older than the statement that reads it, and the sequence is read after both.
_CURSOR = """
SELECT c.epoch, c.previous::text, c.floor, c.system_identifier, c.cluster_id,
    (SELECT system_identifier::text FROM pg_control_system()) AS here,
    pg_snapshot_xmax(greatest_of.snapshot) > pg_snapshot_xmax(pg_current_snapshot()) AS is_ahead,
    greatest(c.floor, c.last_position) > coalesce(pg_sequence_last_value('outbox_position'), 0) AS is_beyond
FROM relay_cursor AS c CROSS JOIN LATERAL (SELECT coalesce(c.target, c.previous) AS snapshot) AS greatest_of
WHERE c.name = 'relay'
"""

Row = dict[str, Any]
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


def read_cursor(connection: Connection) -> Row | None:
    """The stored cursor with what it is compared with; None before the first relay."""
    return next(iter(fetch_named(connection, _CURSOR)), None)


def check_clusters(cursor: Row | None, admin: AdminClient) -> Checked:
    """Whether the cursor belongs to these clusters. It is read first: a rebase meanwhile makes it older, not wrong.

    Raises KafkaException.
    """
    if cursor is None:
        return Checked("clusters", "no relay has run yet")
    kafka, here = read_cluster_id(admin), cursor["here"]
    stored = (("PostgreSQL", cursor["system_identifier"], here), ("Kafka", cursor["cluster_id"], kafka))
    advice = f"if this one continues the other, {MOVED}"
    findings = [
        Finding("contradiction", 1, [known], f"the cursor belongs to another {what} cluster", advice)
        for what, known, found in stored
        if known not in {None, found}
    ]
    return Checked("clusters", f"PostgreSQL {here}, Kafka {kafka}", findings)


def check_cursor(cursor: Row | None) -> Checked:
    """Whether the cursor speaks of what has happened: snapshots and positions only grow, and it was saved before."""
    if cursor is None:
        return Checked("cursor", "no relay has run yet")
    says = {
        "is_ahead": "the cursor's snapshot is one of the future: what is accepted now counts as published",
        "is_beyond": "the cursor's floor or position is beyond the last one given: events up to it are never read",
    }
    advice = f"was the database restored to an earlier state? S{MOVED[1:]}"
    findings = [Finding("contradiction", 1, [], text, advice) for name, text in says.items() if cursor[name]]
    return Checked("cursor", f"epoch {cursor['epoch']}", findings)


def known_topics(offsets: Offsets, connection: Connection, admin: AdminClient) -> Offsets:
    """Without topics that were made anew: what was committed speaks of other records. Raises KafkaException."""
    stored, found = _read_ids(connection, admin)
    return {name: numbers for name, numbers in offsets.items() if stored.get(name) in {None, found.get(name)}}


def check_topics(connection: Connection, admin: AdminClient) -> Checked:
    """Whether topics have the ids that the scheduler knows.

    It looks every few seconds; a topic made anew just now differs until then, so what differs is looked at twice.
    Raises KafkaException.
    """
    stored, found = _read_ids(connection, admin)
    if stored and _other(stored, found):
        looking.wait(looking.TOPICS_LOOK)
        stored, found = _read_ids(connection, admin)
    other = _other(stored, found) if stored else []
    says = "{count} topics are missing, or were made anew, since the relay saw them"
    advice = "a running relay makes them, and requests again what was pending on them: is one running?"
    looked_at = f"{len(found)} topics" if stored else "no relay has seen any yet"
    return Checked("topic-ids", looked_at, Suspects(len(other), other).found("contradiction", says, advice))


def _read_ids(connection: Connection, admin: AdminClient) -> tuple[dict[str, str], dict[str, str]]:
    stored = load_topic_ids(connection)
    return stored, read_topic_ids(admin, stored)


def _other(stored: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """The registered topics that are missing, or have another id than the relay knows."""
    return sorted(name for name in names() if name not in found or stored.get(name) != found[name])
