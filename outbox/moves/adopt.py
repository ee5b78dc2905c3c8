"""Messages that came from Kafka, not from a caller: adopted from other producers, or recovered.

Each function is one statement, in the caller's transaction unless it says otherwise, and changes nothing when repeated.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import execute, fetch_column, fetch_value

_encode = msgspec.json.Encoder().encode


class Foreign(msgspec.Struct, frozen=True, kw_only=True):
    """What another producer put on a topic; the id is made from the record's identity, so it comes out once."""

    id: UUID
    topic: str
    key: str | None
    data: msgspec.Raw
    source: str
    traceparent: str | None = None
    deliver_at: datetime | None = None
    deliver_by: datetime | None = None
    priority: int | None = None


class Lost(msgspec.Struct, frozen=True, kw_only=True):
    """Herald's own record whose stream the database does not know: a fail-over lost it, Kafka kept it."""

    id: UUID
    version: int
    topic: str
    key: str | None
    data: msgspec.Raw
    request: int
    traceparent: str | None = None
    deliver_by: datetime | None = None
    priority: int | None = None


_APPEND = """
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS at),
found AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset(%s::jsonb)
        AS r(id uuid, version integer, topic text, key text, data jsonb, source text, request integer,
             traceparent text, deliver_at timestamptz, deliver_by timestamptz, priority smallint)
),
new AS (
    SELECT f.*, coalesce(deliver_at > at, false) AS is_later FROM found AS f, clock
    WHERE NOT EXISTS (SELECT FROM messages AS m WHERE m.id = f.id)
),
logged AS (
    INSERT INTO outbox (stream_id, version, type, payload, headers, recorded_at)
    SELECT id, coalesce(version, 1), %s,
           jsonb_strip_nulls(jsonb_build_object('topic', topic, 'key', key, 'source', source))
               || jsonb_build_object('data', data),
           jsonb_strip_nulls(jsonb_build_object('request', request, 'traceparent', traceparent,
               'due_at', CASE WHEN is_later THEN deliver_at END, 'deliver_by', deliver_by, 'priority', priority)), at
    FROM new, clock
    ON CONFLICT DO NOTHING
    RETURNING stream_id
)
INSERT INTO messages (id, topic, key, data, traceparent, status, version, request, attempts,
                      due_at, deliver_by, priority, requested_in, accepted_at, updated_at)
SELECT n.id, n.topic, n.key, n.data, n.traceparent, CASE WHEN n.is_later THEN 'scheduled' ELSE 'pending' END,
       coalesce(n.version, 1), coalesce(n.request, (NOT n.is_later)::integer), 0,
       CASE WHEN n.is_later THEN n.deliver_at END, n.deliver_by, coalesce(n.priority, 5), pg_current_xact_id(), at, at
FROM new AS n JOIN logged AS l ON l.stream_id = n.id, clock
"""

_REACH = """
SELECT 1000 * extract(epoch FROM greatest(clock_timestamp() + interval '1 day', max(ends_at)))::bigint - 1
FROM partitions WHERE parent = 'messages'
"""


def adopt(connection: Connection, foreign: Sequence[Foreign]) -> None:
    """Take over other producers' messages: pending afterwards, with request 1, or scheduled for a later date."""
    _append(connection, foreign, "message.adopted")


def recover(connection: Connection, lost: Sequence[Lost]) -> None:
    """Append back what the database lost, under the ids that Kafka kept."""
    _append(connection, lost, "message.recovered")


def _append(connection: Connection, rows: Sequence[Foreign] | Sequence[Lost], event_type: str) -> None:
    execute(connection, _APPEND, _encode(rows).decode(), event_type)


def unknown(connection: Connection, ids: Sequence[UUID]) -> set[UUID]:
    """Which of these ids the database has never heard of."""
    query = (
        "SELECT id::text FROM unnest(%s::uuid[]) AS asked(id)"
        " WHERE NOT EXISTS (SELECT FROM messages AS m WHERE m.id = asked.id)"
    )
    return {UUID(one) for one in fetch_column(connection, query, [str(one) for one in ids])}


def is_known(connection: Connection, message: UUID) -> bool:
    """Whether the database has this message. In a transaction of its own: call it between others."""
    with connection:
        return not unknown(connection, [message])


def read_horizon(connection: Connection) -> UUID:
    """Below this id, what the database does not know has left with its partition (outbox/scheduler/retention.py)."""
    return UUID(fetch_value(connection, "SELECT horizon::text FROM closing"))


def read_reach(connection: Connection) -> int:
    """Up to this date, in milliseconds since 1970, an id finds a partition.

    That is the newest one's end, or a day from now, up to which the relay makes them (outbox_reach in the migrations).
    In a transaction of its own: call it between others.
    """
    with connection:
        return int(fetch_value(connection, _REACH))
