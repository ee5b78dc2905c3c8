"""Requests a message again: a new `requested` event, published like the first one.

The request number grows, so that records of earlier requests start nothing any more.
"""

from dataclasses import dataclass

from psycopg2.extensions import connection as Connection  # noqa: N812 - a class with a lower-case name

from outbox.events import Cause
from outbox.registry import DEAD_LETTERS


@dataclass(frozen=True, slots=True)
class Choice:
    """Which messages: a condition on `messages` with its values, and the cause to record."""

    condition: str
    values: tuple[object, ...]
    cause: Cause


# An attempt whose lease ended without an outcome is unknown: it is tried again, or dead after the last attempt.
_REQUEST = """
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS at),
chosen AS MATERIALIZED (
    SELECT id, status = 'sending' AND attempts >= %s AS is_over,
           CASE status WHEN 'sending' THEN 'outcome unknown' ELSE %s END AS cause
    FROM messages
    WHERE {condition}
    LIMIT %s
    FOR NO KEY UPDATE SKIP LOCKED
),
moved AS (
    UPDATE messages AS m
    SET version = m.version + 1,
        status = CASE WHEN is_over THEN 'dead' ELSE 'pending' END,
        request = CASE WHEN is_over THEN m.request ELSE m.request + 1 END,
        reason = CASE WHEN is_over THEN 'no outcome known after ' || m.attempts || ' attempts' ELSE m.reason END,
        requested_in = CASE WHEN is_over THEN m.requested_in ELSE pg_current_xact_id() END,
        due_at = NULL,
        updated_at = clock.at
    FROM chosen AS c, clock
    WHERE m.id = c.id
    RETURNING m.*, c.is_over, c.cause
),
logged AS (
    INSERT INTO outbox (stream_id, version, type, topic, key, payload, headers, recorded_at)
    SELECT id, version,
           CASE WHEN is_over THEN 'message.dead_lettered' ELSE 'message.requested' END,
           CASE WHEN is_over THEN %s ELSE topic END,
           key,
           CASE WHEN is_over THEN jsonb_build_object('id', id, 'topic', topic, 'attempt', attempts, 'reason', reason)
                ELSE data END,
           CASE WHEN is_over THEN '{{}}'::jsonb
                ELSE jsonb_strip_nulls(jsonb_build_object('request', request, 'cause', cause,
                                                          'traceparent', traceparent)) END,
           updated_at
    FROM moved
    ORDER BY id
    RETURNING 1
)
SELECT count(*) FROM logged
"""


def request_again(connection: Connection, choice: Choice, *, limit: int, max_attempts: int) -> int:
    """Request up to `limit` of the chosen messages again, in the caller's transaction; returns how many."""
    with connection.cursor() as cursor:
        cursor.execute(
            _REQUEST.format(condition=choice.condition),
            (max_attempts, choice.cause, *choice.values, limit, DEAD_LETTERS),
        )
        (count,) = cursor.fetchone()  # type: ignore[misc]
    return int(count)
