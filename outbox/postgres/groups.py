"""Groups: what was asked for together, counted by status."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy import Connection, text

from herald.outbox.message.state import STATUSES, Status


class GroupState(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for together: how many messages are kept of it, in all and in each status.

    `accepted_at` is of the first, `updated_at` of the newest move.
    """

    id: UUID
    total: int
    counts: dict[Status, int]
    accepted_at: datetime
    updated_at: datetime


_GROUP = text("""
SELECT status, count(*), min(accepted_at), max(updated_at) FROM messages
WHERE group_id = :id AND topic = ANY (coalesce(CAST(:topics AS text[]), ARRAY[topic])) GROUP BY status
""")


def find_group(connection: Connection, group_id: UUID, *, topics: Collection[str] | None = None) -> GroupState | None:
    """All that was asked for together (on these topics), in one snapshot; None where nothing was."""
    values = {"id": group_id, "topics": topics and list(topics)}
    found = {status: more for status, *more in connection.execute(_GROUP, values)}
    if not found:
        return None
    counts = {status: found[status][0] if status in found else 0 for status in STATUSES}
    _, began, moved = zip(*found.values(), strict=True)
    return GroupState(
        id=group_id, total=sum(counts.values()), counts=counts, accepted_at=min(began), updated_at=max(moved)
    )
