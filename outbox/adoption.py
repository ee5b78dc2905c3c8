"""Messages that came from Kafka, not from a caller: adopted from other producers, or recovered.

Each function is one statement in the caller's transaction and changes nothing when repeated.
"""

from collections.abc import Sequence
from uuid import UUID

import msgspec
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class with a lower-case name

_encode = msgspec.json.Encoder().encode


class Foreign(msgspec.Struct, frozen=True, kw_only=True):
    """What another producer put on a topic; the id is made from the record's identity, so it comes out once."""

    id: UUID
    topic: str
    key: str | None
    data: msgspec.Raw
    source: str
    traceparent: str | None = None


class Lost(msgspec.Struct, frozen=True, kw_only=True):
    """Herald's own record whose stream the database does not know: a fail-over lost it, Kafka kept it."""

    id: UUID
    version: int
    topic: str
    key: str | None
    data: msgspec.Raw
    request: int
    traceparent: str | None = None


_APPEND = """
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS at),
found AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset(%s::jsonb)
        AS r(id uuid, version integer, topic text, key text, data jsonb, source text, request integer, traceparent text)
),
new AS (
    SELECT f.* FROM found AS f WHERE NOT EXISTS (SELECT FROM messages AS m WHERE m.id = f.id)
),
logged AS (
    INSERT INTO outbox (stream_id, version, type, payload, headers, recorded_at)
    SELECT id, coalesce(version, 1), %s,
           jsonb_strip_nulls(jsonb_build_object('topic', topic, 'key', key, 'source', source))
               || jsonb_build_object('data', data),
           jsonb_strip_nulls(jsonb_build_object('request', request, 'traceparent', traceparent)), at
    FROM new, clock
    ON CONFLICT DO NOTHING
    RETURNING stream_id
)
INSERT INTO messages (id, topic, key, data, traceparent, status, version, request, attempts,
                      requested_in, accepted_at, updated_at)
SELECT n.id, n.topic, n.key, n.data, n.traceparent, 'pending', coalesce(n.version, 1), coalesce(n.request, 1), 0,
       pg_current_xact_id(), at, at
FROM new AS n JOIN logged AS l ON l.stream_id = n.id, clock
"""


def adopt(connection: Connection, foreign: Sequence[Foreign]) -> None:
    """Take over other producers' messages: pending afterwards, with request 1."""
    _append(connection, foreign, "message.adopted")


def recover(connection: Connection, lost: Sequence[Lost]) -> None:
    """Append back what the database lost, under the ids that Kafka kept."""
    _append(connection, lost, "message.recovered")


def _append(connection: Connection, rows: Sequence[Foreign] | Sequence[Lost], event_type: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_APPEND, (_encode(rows).decode(), event_type))


def unknown(connection: Connection, ids: Sequence[UUID]) -> set[UUID]:
    """Which of these ids the database has never heard of."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id::text FROM unnest(%s::uuid[]) AS asked(id)"
            " WHERE NOT EXISTS (SELECT FROM messages AS m WHERE m.id = asked.id)",
            ([str(one) for one in ids],),
        )
        return {UUID(one) for (one,) in cursor}
