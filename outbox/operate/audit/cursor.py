"""The relay's cursor, and the clusters and topics it speaks of."""

from collections.abc import Mapping
from typing import Any

from confluent_kafka.admin import AdminClient

from herald.outbox.kafka.offsets import Offsets
from herald.outbox.kafka.topics import load_topic_ids, names, read_cluster_id, read_topic_ids
from herald.outbox.operate.audit import looking
from herald.outbox.operate.audit.findings import Checked, Finding, Suspects
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch_named

MOVED = "stop every relay and run `herald relay --rebase --moved`"

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
    other = Suspects(len(found), _other(stored, found) if stored else ())
    says = "{count} topics are missing, or were made anew, since the relay saw them"
    advice = "a running relay makes them, and requests again what was pending on them: is one running?"
    looked_at = f"{len(found)} topics" if stored else "no relay has seen any yet"
    return Checked("topic-ids", looked_at, other.found("contradiction", says, advice))


def _read_ids(connection: Connection, admin: AdminClient) -> tuple[dict[str, str], dict[str, str]]:
    stored = load_topic_ids(connection)
    return stored, read_topic_ids(admin, stored)


def _other(stored: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """The registered topics that are missing, or have another id than the relay knows."""
    return sorted(name for name in names() if name not in found or stored.get(name) != found[name])
