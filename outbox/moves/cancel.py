"""Cancelling: a caller takes a message or a group back, as long as no attempt to deliver it has begun."""

from collections.abc import Collection
from typing import NamedTuple
from uuid import UUID

from herald.outbox.message.state import Status
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch_one

CANCEL = """
SELECT status, attempts, is_held FROM cancel_message(%(id)s::uuid, %(topics)s::text[], %(whose)s::text[], %(actor)s)
"""
CANCEL_GROUP = """
SELECT last::text, looked, held
FROM cancel_group(%(id)s::uuid, %(behind)s::uuid, %(actor)s, %(whose)s::text[], %(topics)s::text[])
"""


class Standing(NamedTuple):
    """Where a message stands: `cancelled`, now or before, or what kept it from being cancelled.

    `is_held`: another transaction is moving it, or has cancelled it and may yet roll back.
    """

    status: Status
    attempts: int
    is_held: bool = False

    @property
    def refusal(self) -> str | None:
        """Why it is not cancelled; None where it is."""
        if self.status == "cancelled":
            return None
        if self.is_held:
            return "another transaction holds it; try again"
        return f"it is {self.status}, after {self.attempts} attempt(s): too late to cancel"


class Part(NamedTuple):
    """Of a group: the id of its last message, None where no more come, how many it has, and how many others hold."""

    last: UUID | None
    looked: int
    held: int


class Reach(NamedTuple):
    """Which messages somebody may move: on these topics, sent by one of `whose` (what events call them); None: any."""

    topics: Collection[str] | None = None
    whose: Collection[str] | None = None

    @property
    def values(self) -> dict[str, list[str] | None]:
        """For a statement."""
        return {name: some if some is None else list(some) for name, some in self._asdict().items()}


ANY = Reach()


def cancel(
    connection: Connection, message_id: UUID, *, reach: Reach = ANY, actor: str | None = None
) -> Standing | None:
    """Take it back, in the caller's transaction. None when there is no such message within reach.

    Nobody is waited for.
    """
    values = {"id": str(message_id), **reach.values, "actor": actor}
    status, *more = fetch_one(connection, CANCEL, values)
    return None if status is None else Standing(status, *more)


def cancel_part(
    connection: Connection,
    group_id: UUID,
    *,
    behind: UUID | None = None,
    reach: Reach = ANY,
    actor: str | None = None,
) -> Part:
    """Take back what can be of the first 1,000 of a group, or of the next: of those within reach.

    In the caller's transaction; nobody is waited for.
    """
    values = {"id": str(group_id), "behind": behind and str(behind), **reach.values, "actor": actor}
    last, looked, held = fetch_one(connection, CANCEL_GROUP, values)
    return Part(last and UUID(last), looked, held)
