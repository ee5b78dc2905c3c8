"""Requests that Kafka lost, found behind the consumer.

A request that merely waits in Kafka is never repeated, however long the pipeline was away: only
what was published below the group's committed offsets and still has no attempt was lost. (With a
deadline instead, an outage of minutes breeds copies faster than they are consumed.)
"""

import json

import structlog
from confluent_kafka.admin import AdminClient
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class with a lower-case name

from outbox.kafka import ANSWER_TIMEOUT
from outbox.offsets import Offsets, partitions_of, read_committed, read_end_offsets
from outbox.registry import TOPICS
from outbox.scheduler.requests import Choice, pending_that, request_again
from outbox.settings import Settings

LIMIT = 1_000  # lost requests repeated in one sweep
_log = structlog.get_logger()


def note_page(connection: Connection, admin: AdminClient) -> None:
    """Note that all of the stored cursor's snapshot is published below the end offsets read now.

    The cursor is read first, so the offsets can only be too high, which only waits longer. (The
    embedded broker reports some too low; what that costs is a request too many.)
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT epoch, previous::text FROM relay_cursor WHERE name = 'relay'"
            " AND epoch > (SELECT coalesce(max(epoch), -1) FROM relay_pages)",
        )
        stored = cursor.fetchone()
        if stored is None:
            return
        end_offsets = read_end_offsets(admin, _partitions(admin))
        if end_offsets.keys() != TOPICS.keys():
            return  # a deleted topic has no end, and a page without it would count as consumed
        cursor.execute(
            "INSERT INTO relay_pages (epoch, snapshot, end_offsets) VALUES (%s, %s::pg_snapshot, %s::jsonb)"
            " ON CONFLICT DO NOTHING",
            (*stored, json.dumps(end_offsets)),
        )


def request_lost(connection: Connection, admin: AdminClient, settings: Settings) -> int:
    """Request again what the group has passed without an attempt; returns how many."""
    partitions = _partitions(admin)
    ends, committed = read_end_offsets(admin, partitions), read_committed(settings, partitions)
    snapshot = _last_consumed(connection, ends, committed)
    if snapshot is None:
        return 0
    count = len(request_again(connection, lost_in(snapshot), limit=LIMIT))
    if count:
        _log.warning("lost_requests_repeated", messages=count)
    return count


def lost_in(snapshot: str) -> Choice:
    """What that snapshot shows as requested, and nobody has claimed."""
    visible = "pg_visible_in_snapshot(requested_in, %(snapshot)s::pg_snapshot)"
    return Choice(pending_that(visible), {"snapshot": snapshot}, "'lost'")


def _last_consumed(connection: Connection, ends: Offsets, committed: Offsets) -> str | None:
    """The snapshot of the newest page that the group has passed; older pages are forgotten."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT epoch, snapshot::text, end_offsets FROM relay_pages ORDER BY epoch DESC")
        for epoch, snapshot, end_offsets in cursor.fetchall():
            if is_behind(within(end_offsets, ends), committed):
                cursor.execute("DELETE FROM relay_pages WHERE epoch < %s", (epoch,))
                return str(snapshot)
    return None


def is_behind(end_offsets: Offsets, committed: Offsets) -> bool:
    """Whether the group has committed every partition up to these ends; an empty partition asks for nothing."""
    return all(
        committed.get(topic, {}).get(partition, 0) >= end
        for topic, partitions in end_offsets.items()
        for partition, end in partitions.items()
    )


def within(noted: Offsets, ends: Offsets) -> Offsets:
    """The noted ends, none beyond where its partition ends now: what stood above was lost, and comes from nowhere.

    Without it, a partition that lost its newest records would count as unread until it is as long as it was.
    """
    return {
        topic: {partition: min(end, ends.get(topic, {}).get(partition, end)) for partition, end in partitions.items()}
        for topic, partitions in noted.items()
    }


def _partitions(admin: AdminClient) -> dict[str, list[int]]:
    return partitions_of(admin.list_topics(timeout=ANSWER_TIMEOUT), TOPICS)
