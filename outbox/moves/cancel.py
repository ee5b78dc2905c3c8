"""Cancelling: a caller takes a message back, as long as no attempt to deliver it has begun."""

from typing import NamedTuple
from uuid import UUID

from herald.outbox.message.events import Carried, DeadLettered, Failed, Late, OutcomeUnknown, Sent
from herald.outbox.message.state import Status
from herald.outbox.moves.door import CANCELLED, moving
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import find_one

# After one of these an attempt may have reached somebody, also where a person's requeue counts anew. What was carried
# over has lost its history.
TRIED = (Sent, Failed, OutcomeUnknown, DeadLettered, Late, Carried)
TRIED_TYPES = ", ".join(f"'{event.TYPE}'" for event in TRIED)

CANCEL = moving(
    f"""
found AS MATERIALIZED (
    SELECT id, status, attempts, uncounted FROM messages
    WHERE id = %(id)s::uuid AND topic = coalesce(%(topic)s, topic)
    FOR NO KEY UPDATE
),
decided AS MATERIALIZED (
    SELECT id, 'message.cancelled' AS type, jsonb_build_object() AS payload, NULL AS publish_to, 0 AS place
    FROM found
    WHERE status IN ('scheduled', 'pending')
        AND (attempts = 0 OR attempts = uncounted AND NOT EXISTS (
            SELECT FROM outbox AS o WHERE o.stream_id = found.id AND o.type IN ({TRIED_TYPES})
        ))
)""",
    CANCELLED,
    answer="SELECT CASE WHEN EXISTS (SELECT FROM moved) THEN 'cancelled' ELSE status END, attempts FROM found",
)


class Standing(NamedTuple):
    """Where a message stands: `cancelled`, now or before, or what kept it from being cancelled."""

    status: Status
    attempts: int


def cancel(connection: Connection, message_id: UUID, *, topic: str | None = None) -> Standing | None:
    """Take it back, in the caller's transaction; None when there is no such message (on that topic)."""
    row = find_one(connection, CANCEL, {"id": str(message_id), "topic": topic})
    return Standing(*row) if row else None
