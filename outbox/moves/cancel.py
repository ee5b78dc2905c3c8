"""Cancelling: a caller takes a message or a group back, as long as no attempt to deliver it has begun."""

from typing import NamedTuple
from uuid import UUID

from herald.outbox.message.state import Status
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch_one

CANCEL = "SELECT status, attempts, is_held FROM cancel_message(%(id)s::uuid, %(topic)s::text)"
CANCEL_GROUP = "SELECT last::text, looked, held FROM cancel_group(%(id)s::uuid, %(behind)s::uuid, NULL, NULL)"


class Standing(NamedTuple):
    """Where a message stands: `cancelled`, now or before, or what kept it from being cancelled.

    `is_held`: another transaction is moving it, or has cancelled it and may yet roll back.
    """

    status: Status
    attempts: int
    is_held: bool = False


class Part(NamedTuple):
    """Of a group: the id of its last message, None where no more come, how many it has, and how many others hold."""

    last: UUID | None
    looked: int
    held: int


def cancel(connection: Connection, message_id: UUID, *, topic: str | None = None) -> Standing | None:
    """Take it back, in the caller's transaction. None when there is no such message (on that topic).

    Nobody is waited for.
    """
    status, *more = fetch_one(connection, CANCEL, {"id": str(message_id), "topic": topic})
    return None if status is None else Standing(status, *more)


def cancel_part(connection: Connection, group_id: UUID, *, behind: UUID | None = None) -> Part:
    """Take back what can be of the first 1,000 of a group, or of the next, in the caller's transaction.

    Nobody is waited for.
    """
    values = {"id": str(group_id), "behind": behind and str(behind)}
    last, looked, held = fetch_one(connection, CANCEL_GROUP, values)
    return Part(last and UUID(last), looked, held)
