"""What a person decides: try again, as it is or edited, or give up for good.

A requeue begins anew: the attempts so far no longer count, and `deliver_by` is dropped. Each function is
one statement in the caller's transaction; what is not on the desk (any more) stays as it is.
"""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch_column

MOST_AT_ONCE = 10_000  # discarded in one statement


class Edit(msgspec.Struct, frozen=True):
    """New data, as JSON that was checked, and the key that goes with it."""

    data: msgspec.Raw
    key: str | None


_REQUEUE = """
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS at),
edit AS MATERIALIZED (SELECT * FROM jsonb_to_record(%(edit)s::jsonb) AS e(data jsonb, key text)),
locked AS MATERIALIZED (
    SELECT id FROM messages WHERE id = ANY (%(ids)s::uuid[]) AND status IN ('dead', 'unknown')
    ORDER BY id FOR NO KEY UPDATE
),
moved AS (
    UPDATE messages AS m
    SET version = m.version + CASE WHEN e.data IS NULL THEN 1 ELSE 2 END,
        status = 'pending', request = m.request + 1, requested_in = pg_current_xact_id(),
        uncounted = m.attempts, unknowns = 0, deliver_by = NULL, due_at = NULL, updated_at = clock.at,
        data = coalesce(e.data, m.data), key = CASE WHEN e.data IS NULL THEN m.key ELSE e.key END
    FROM locked, clock, edit AS e
    WHERE m.id = locked.id
    RETURNING m.*, e.data IS NOT NULL AS is_edited
),
edited AS (
    INSERT INTO outbox (stream_id, version, type, payload, recorded_at)
    SELECT id, version - 1, 'message.edited',
           jsonb_strip_nulls(jsonb_build_object('key', key)) || jsonb_build_object('data', data), updated_at
    FROM moved WHERE is_edited
),
logged AS (
    INSERT INTO outbox (stream_id, version, type, topic, key, payload, headers, recorded_at)
    SELECT id, version, 'message.requested', topic, key, data,
           jsonb_strip_nulls(jsonb_build_object('request', request, 'cause', 'requeued', 'traceparent', traceparent)),
           updated_at
    FROM moved
    ORDER BY accepted_at, id
)
SELECT id::text FROM moved
"""

_DISCARD = """
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS at),
locked AS MATERIALIZED (
    SELECT id FROM messages WHERE id = ANY (%(ids)s::uuid[]) AND status IN ('dead', 'unknown')
    ORDER BY id FOR NO KEY UPDATE
),
moved AS (
    UPDATE messages AS m
    SET version = m.version + 1, status = 'discarded', reason = %(reason)s, updated_at = clock.at
    FROM locked, clock
    WHERE m.id = locked.id
    RETURNING m.id, m.version, m.reason, m.updated_at
),
logged AS (
    INSERT INTO outbox (stream_id, version, type, payload, recorded_at)
    SELECT id, version, 'message.discarded', jsonb_build_object('reason', reason), updated_at FROM moved
)
SELECT id::text FROM moved
"""


def requeue(connection: Connection, ids: Sequence[UUID], *, edit: Edit | None = None) -> list[UUID]:
    """Try these again; returns those that were on the desk. An edit is for one."""
    encoded = msgspec.json.encode(edit) if edit else b"{}"
    return _decide(connection, _REQUEUE, ids, edit=encoded.decode())


def discard(connection: Connection, ids: Sequence[UUID], *, reason: str) -> list[UUID]:
    """Give these up for good; returns those that were on the desk."""
    return _decide(connection, _DISCARD, ids, reason=reason)


def _decide(connection: Connection, statement: str, ids: Sequence[UUID], **values: object) -> list[UUID]:
    moved = fetch_column(connection, statement, {"ids": [str(one) for one in ids], **values})
    return [UUID(message) for message in moved]
