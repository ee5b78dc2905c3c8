"""The statement that accepts: an event in the log and a row in its projection, for many commands at once."""

from collections.abc import Sequence
from uuid import UUID

import msgspec
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class with a lower-case name
from uuid_utils.compat import uuid7


class Acceptance(msgspec.Struct, frozen=True, omit_defaults=True):
    """One message to be accepted; `data` is JSON, stored as it came."""

    id: UUID
    topic: str
    key: str | None
    data: msgspec.Raw
    traceparent: str | None = None


# One clock reading for the batch: the event and its projection carry the same date, so a rebuild equals the table.
_ACCEPT = """
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS at),
accepted AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset(%s::jsonb) AS r(id uuid, topic text, key text, data jsonb, traceparent text)
),
logged AS (
    INSERT INTO outbox (stream_id, version, type, topic, key, payload, headers, recorded_at)
    SELECT id, 1, 'message.requested', topic, key, data,
           jsonb_strip_nulls(jsonb_build_object('request', 1, 'cause', 'accepted', 'traceparent', traceparent)), at
    FROM accepted, clock
),
projected AS (
    INSERT INTO messages (id, topic, key, data, traceparent, status, version, request, attempts,
                          requested_in, accepted_at, updated_at)
    SELECT id, topic, key, data, traceparent, 'pending', 1, 1, 0, pg_current_xact_id(), at, at
    FROM accepted, clock
)
SELECT pg_current_xact_id()::text
"""
_encode = msgspec.json.Encoder().encode


def make_acceptance(topic: str, key: str | None, data: bytes, *, traceparent: str | None = None) -> Acceptance:
    """Give a message its id, a UUIDv7; its time comes from this process's clock and decides nothing."""
    return Acceptance(uuid7(), topic, key, msgspec.Raw(data), traceparent)


def accept(connection: Connection, acceptances: Sequence[Acceptance]) -> int:
    """Write all of them in the caller's transaction; returns the transaction's id (xid8).

    Raises psycopg2.Error; one bad value fails all of them.
    """
    with connection.cursor() as cursor:
        cursor.execute(_ACCEPT, (_encode(acceptances).decode(),))
        (transaction_id,) = cursor.fetchone()  # type: ignore[misc]
    return int(transaction_id)
