"""Rejecting: what Kafka refused for good ends, with its reason."""

from collections.abc import Sequence

import msgspec

from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import execute


class Rejection(msgspec.Struct, frozen=True):
    """A request of a message, of the version in which it was made, and why it is not published."""

    id: str
    version: int
    request: int
    reason: str


_REJECT = """
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS at),
refused AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset(%s::jsonb) AS r(id uuid, version integer, request integer, reason text)
),
locked AS MATERIALIZED (
    SELECT m.id, r.reason
    FROM refused AS r JOIN messages AS m ON m.id = r.id
    WHERE m.status = 'pending' AND m.request = r.request AND r.version <= m.version
    ORDER BY m.id
    FOR NO KEY UPDATE OF m
),
moved AS (
    UPDATE messages AS m
    SET status = 'dead', version = m.version + 1, reason = l.reason, due_at = NULL, updated_at = clock.at
    FROM locked AS l, clock
    WHERE m.id = l.id
    RETURNING m.id, m.version, m.reason, m.updated_at
)
INSERT INTO outbox (stream_id, version, type, payload, recorded_at)
SELECT id, version, 'message.rejected', jsonb_build_object('reason', reason), updated_at FROM moved
"""


def reject(connection: Connection, some: Sequence[Rejection]) -> None:
    """End each message that still waits for that request. Raises PostgresError."""
    execute(connection, _REJECT, msgspec.json.encode(some).decode())
