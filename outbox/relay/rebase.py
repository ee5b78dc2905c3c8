"""`herald relay --rebase --moved` and `--copied`: go on after a dump and restore, with another Kafka, or as a copy."""

import contextlib

from herald.outbox.kafka.clients import make_admin
from herald.outbox.kafka.topics import read_cluster_id
from herald.outbox.moves.pauses import ALL, pause
from herald.outbox.moves.request_again import WAITED_FOR, Choice, pending_that, request_again
from herald.outbox.postgres.connections import connect_anywhere
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.fitness import SERVER
from herald.outbox.postgres.instance import read_instance, take_place
from herald.outbox.postgres.locks import LEADER, lock_until_commit
from herald.outbox.postgres.statements import execute, fetch
from herald.outbox.relay.cursor import NAME, leap
from herald.outbox.settings import Settings
from herald.outbox.startup import check_migrated

PAUSED = "a copy: what the original has under way is pending here, too"
BATCH = 5_000  # messages requested again in one statement

_TAKE_OVER = """
INSERT INTO relay_cursor (name, previous, last_position, floor, epoch, system_identifier, timeline, cluster_id)
SELECT %s, pg_current_snapshot(), 0, coalesce((SELECT max(position) FROM outbox), 0), 0,
       (SELECT system_identifier::text FROM pg_control_system()),
       (SELECT timeline_id FROM pg_control_checkpoint()), %s
ON CONFLICT (name) DO UPDATE
SET previous = excluded.previous, target = NULL, last_position = 0, floor = excluded.floor,
    epoch = relay_cursor.epoch + %s, system_identifier = excluded.system_identifier,
    timeline = excluded.timeline, cluster_id = excluded.cluster_id, topic_ids = '{}', widths = '{}',
    saved_at = clock_timestamp()
"""
# by who wrote the row: a restored one may name this transaction's id from another cluster as that of its request
NOT_YET = "xmin <> pg_current_xact_id()::xid"


def rebase(settings: Settings, *, as_copy: bool = False) -> int | None:
    """Begin anew above everything stored, and request again every pending message; returns how many.

    None where only the timeline has changed, after a fail-over: the cursor was replicated with its log and holds.
    A copy gets a new id and is paused: what the original has under way is pending here, too.

    One transaction: its own requests are not visible in the snapshot that it stores, so the next term
    publishes exactly these and what comes later. Transaction ids of before mean nothing here; the floor
    keeps their rows out. Waits for a relay that still leads, and for claims under way: there is no next time.
    """
    cluster_id = read_cluster_id(make_admin(settings))
    with contextlib.closing(connect_anywhere(settings, "herald-rebase", checks=SERVER)) as connection:
        check_migrated(connection)
        execute(connection, "SELECT set_config('statement_timeout', '0', false)")
        lock_until_commit(connection, LEADER)
        is_timeline = not as_copy and _only_the_timeline_differs(connection, settings, cluster_id)
        take_place(connection, settings, as_copy=as_copy)
        if is_timeline:
            connection.commit()
            return None
        if as_copy:
            pause(connection, ALL, reason=PAUSED)
        execute(connection, _TAKE_OVER, NAME, cluster_id, leap())
        execute(connection, "TRUNCATE relay_pages")
        execute(connection, "DELETE FROM relay_withheld")  # what is pending is requested again
        again = 0
        choice = Choice(pending_that(NOT_YET), {}, "'lost'", WAITED_FOR)
        while batch := len(request_again(connection, choice, limit=BATCH)):
            again += batch
        connection.commit()
    return again


def _only_the_timeline_differs(connection: Connection, settings: Settings, cluster_id: str) -> bool:
    found = read_instance(connection)
    cluster = found.here.system_identifier
    cursors = fetch(connection, "SELECT system_identifier, coalesce(cluster_id, %s) FROM relay_cursor", cluster_id)
    return (
        found.home.timeline != found.here.timeline
        and (found.home.system_identifier, found.home.database) == (cluster, found.here.database)
        and found.source in {None, settings.source}
        and found.topic_prefix in {None, settings.topic_prefix}
        and all(stored == (cluster, cluster_id) for stored in cursors)
    )
