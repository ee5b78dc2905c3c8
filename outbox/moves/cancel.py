"""Cancelling: a caller takes a message back, as long as no attempt to deliver it has begun."""

from typing import NamedTuple
from uuid import UUID

from herald.outbox.message.state import Status
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch_one

CANCEL = "SELECT status, attempts, is_held FROM cancel_message(%(id)s::uuid, %(topic)s::text)"


class Standing(NamedTuple):
    """Where a message stands: `cancelled`, now or before, or what kept it from being cancelled.

    `is_held`: another transaction is moving it, or has cancelled it and may yet roll back.
    """

    status: Status
    attempts: int
    is_held: bool = False


def cancel(connection: Connection, message_id: UUID, *, topic: str | None = None) -> Standing | None:
    """Take it back, in the caller's transaction. None when there is no such message (on that topic).

    Nobody is waited for.
    """
    status, *more = fetch_one(connection, CANCEL, {"id": str(message_id), "topic": topic})
    return None if status is None else Standing(status, *more)
