"""Rejecting: what Kafka refused for good ends, with its reason."""

from collections.abc import Sequence

import msgspec

from herald.outbox.moves.door import REJECTED, moving
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import execute


class Rejection(msgspec.Struct, frozen=True):
    """A request of a message, of the version in which it was made, and why it is not published."""

    id: str
    version: int
    request: int
    reason: str


REJECT = moving(
    """
refused AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset(%(refused)s::jsonb) AS r(id uuid, version integer, request integer, reason text)
),
decided AS MATERIALIZED (
    SELECT m.id, 'message.rejected' AS type,
           jsonb_build_object('reason', r.reason, 'code', 'refused_by_kafka') AS payload, NULL AS publish_to, 0 AS place
    FROM refused AS r JOIN messages AS m ON m.id = r.id
    WHERE m.status = 'pending' AND m.request = r.request AND r.version <= m.version
    ORDER BY m.id
    FOR NO KEY UPDATE OF m SKIP LOCKED
)""",
    REJECTED,
)


def reject(connection: Connection, some: Sequence[Rejection]) -> None:
    """End each message that still waits for that request. Raises PostgresError.

    One that another transaction holds is left: if it stays pending, it is found behind the consumer, asked for again,
    and refused again.
    """
    execute(connection, REJECT, {"refused": msgspec.json.encode(some).decode()})
