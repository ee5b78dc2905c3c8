"""`herald relay --rebase`: go on after a dump and restore, or with another Kafka."""

import contextlib

from outbox.database import connect, read_clock
from outbox.kafka import make_admin
from outbox.relay.cursor import NAME, leap
from outbox.relay.session import LEADER
from outbox.scheduler.requests import WAITED_FOR, Choice, pending_that, request_again
from outbox.settings import Settings
from outbox.topics import read_cluster_id

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
# a restored row may have this transaction's id from another cluster: what this one requests is new as well
NOT_YET = "(requested_in <> pg_current_xact_id() OR updated_at < %(begun_at)s)"


def rebase(settings: Settings) -> int:
    """Begin anew above everything stored, and request again every pending message; returns how many.

    One transaction: its own requests are not visible in the snapshot that it stores, so the next term
    publishes exactly these and what comes later. Transaction ids of before mean nothing here; the floor
    keeps their rows out. Waits for a relay that still leads, and for claims under way: there is no next time.
    """
    cluster_id = read_cluster_id(make_admin(settings))
    with contextlib.closing(connect(settings, "herald-rebase")) as connection:
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('statement_timeout', '0', false)")
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", (LEADER,))
            cursor.execute(_TAKE_OVER, (NAME, cluster_id, leap()))
            cursor.execute("TRUNCATE relay_pages")
        again = 0
        choice = Choice(pending_that(NOT_YET), {"begun_at": read_clock(connection)}, "'lost'", WAITED_FOR)
        while batch := len(request_again(connection, choice, limit=BATCH)):
            again += batch
        connection.commit()
    return again
