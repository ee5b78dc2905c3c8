"""Topics that were deleted and made anew, known by their changed ids: their requests are repeated."""

from collections.abc import Callable

import structlog
from confluent_kafka.admin import AdminClient
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class with a lower-case name

from outbox.scheduler.requests import Choice, pending_that, request_again
from outbox.settings import Settings
from outbox.topics import load_topic_ids, make_topics, read_topic_ids, save_topic_ids

BATCH = 1_000  # messages requested again in one statement
_log = structlog.get_logger()


def watch_topics(
    connection: Connection, admin: AdminClient, settings: Settings, on_deleted_topic: Callable[[], None]
) -> int:
    """Make missing topics, and request again all that a deleted one held; returns how many.

    The new ids are stored last: a crash in between repeats the work instead of losing it. The relay is
    told, because an idempotent producer may wait for ever for a broker that has forgotten it.
    """
    make_topics(admin, settings)
    found = read_topic_ids(admin)
    stored = load_topic_ids(connection)
    if found == stored:
        return 0
    gone = [name for name, topic_id in stored.items() if found.get(name) != topic_id]
    again = sum(_request_topic(connection, name) for name in gone)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM relay_pages")  # they speak of offsets that no longer exist
    save_topic_ids(connection, found)
    if gone:
        on_deleted_topic()
    return again


def _request_topic(connection: Connection, topic: str) -> int:
    """Whatever the cursor has published to that topic and is still pending; the rest is published anyway."""
    choice = Choice(
        pending_that(
            "topic = %(topic)s AND pg_visible_in_snapshot(requested_in,"
            " (SELECT previous FROM relay_cursor WHERE name = 'relay'))"
        ),
        {"topic": topic},
        "'topic deleted'",
    )
    again = 0
    while batch := len(request_again(connection, choice, limit=BATCH)):
        again += batch
    _log.warning("topic_was_deleted", topic=topic, requested_again=again)
    return again
