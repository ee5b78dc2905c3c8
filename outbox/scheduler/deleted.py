"""Topics that were deleted and made anew, known by their changed ids: their requests are repeated."""

from collections.abc import Callable, Mapping

import structlog
from confluent_kafka.admin import AdminClient

from herald.outbox.kafka.topics import load_topic_ids, make_topics, names, read_topic_ids, save_topic_ids
from herald.outbox.moves.request_again import Choice, pending_that, request_again
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.registered import learn_names
from herald.outbox.scheduler.pages import forget_topics
from herald.outbox.settings import Settings

BATCH = 1_000  # messages requested again in one statement
_log = structlog.get_logger()


def watch_topics(
    connection: Connection, admin: AdminClient, settings: Settings, on_deleted_topic: Callable[[], None]
) -> int:
    """Make missing topics, and request again all that a deleted one held; returns how many.

    The new ids are stored last: a crash in between repeats the work instead of losing it. The relay is
    told, because an idempotent producer may wait for ever for a broker that has forgotten it.
    """
    learn_names(connection)
    make_topics(admin, settings)
    stored = load_topic_ids(connection)
    found = read_topic_ids(admin, stored)
    gone = deleted(stored, found)
    again = sum(_request_topic(connection, name) for name in gone)
    if gone:
        forget_topics(connection, gone)
    known = remembered(stored, found)
    if known != stored:
        save_topic_ids(connection, known)
    if gone:
        on_deleted_topic()
    return again


def deleted(stored: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """The registered topics that had another id, or are gone; what is no longer registered is left to its place."""
    return [name for name in names() if name in stored and found.get(name) != stored[name]]


def remembered(stored: Mapping[str, str], found: Mapping[str, str]) -> dict[str, str]:
    """The ids to remember: those found, and of topics that are not registered (now) the last that was known."""
    return {**{name: topic_id for name, topic_id in stored.items() if name not in names()}, **found}


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
