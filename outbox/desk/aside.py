"""Rows of the log that were set aside: who looks at one sees what can be read of it, and decides."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from herald.outbox.moves.decide import discard_pending
from herald.outbox.moves.request_again import Choice, request_again
from herald.outbox.postgres.connections import reason
from herald.outbox.postgres.driver import Connection, PostgresError
from herald.outbox.postgres.statements import execute, fetch_named, find_one

SHOWN = 2_000  # characters of a column


class AsideRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row that was set aside; `decision` is null as long as nobody has decided, `status` where it has no message."""

    stream_id: UUID
    version: int
    position: int
    topic: str | None
    reason: str
    error: str
    since: datetime
    decision: str | None
    decided_at: datetime | None
    decided_by: str | None
    decided_because: str | None
    type: str | None
    status: str | None
    waits: bool

    @property
    def name(self) -> str:
        """As its record would be called in `ce_id`."""
        return f"{self.stream_id}.{self.version}"


class Decision(msgspec.Struct, frozen=True):
    """Who decides, and why."""

    by: str
    because: str | None


# `waits`: a message that asks for nothing else, and is not requested again until somebody decides.
_ROWS = """
SELECT s.stream_id::text, s.version, s.position, s.topic, s.reason, s.error, s.since, s.decision, s.decided_at,
       s.decided_by, s.decided_because, o.type, m.status,
       coalesce(m.status = 'pending' AND m.version = s.version, false) AS waits
FROM set_aside AS s
LEFT JOIN outbox AS o ON o.stream_id = s.stream_id AND o.version = s.version
LEFT JOIN messages AS m ON m.id = s.stream_id
"""
_LIST = f"{_ROWS} WHERE s.decision IS NULL OR %(is_all)s ORDER BY s.since, s.position LIMIT %(limit)s"
_FIND = (
    f"{_ROWS} WHERE s.stream_id = %(id)s::uuid AND (s.version = %(version)s OR %(version)s IS NULL) ORDER BY s.version"
)

_DECIDE = """
UPDATE set_aside
SET decision = %(decision)s, decided_at = clock_timestamp(), decided_by = %(by)s, decided_because = %(because)s
WHERE stream_id = %(id)s::uuid AND version = %(version)s AND decision IS NULL
"""
_COLUMNS = ("type", "topic", "key", "recorded_at", "data", "payload")


def list_aside(connection: Connection, *, limit: int, is_all: bool) -> list[AsideRow]:
    """The oldest first; with `is_all` those that were decided too."""
    return _fetch(connection, _LIST, {"limit": limit, "is_all": is_all})


def find_aside(connection: Connection, stream_id: UUID, version: int | None) -> list[AsideRow]:
    """The one of that version, or all of the stream."""
    return _fetch(connection, _FIND, {"id": str(stream_id), "version": version})


def readable_columns(connection: Connection, row: AsideRow) -> dict[str, str]:
    """What can be shown of it, column by column, and why the rest cannot be; ends the transaction."""
    shown: dict[str, str] = {}
    for column in _COLUMNS:
        statement = f"SELECT left({column}::text, {SHOWN}) FROM outbox WHERE stream_id = %s AND version = %s"
        try:
            found = find_one(connection, statement, str(row.stream_id), row.version)
        except (PostgresError, ValueError) as error:
            connection.rollback()
            shown[column] = f"cannot be read: {reason(error)}"
            continue
        shown[column] = "gone" if found is None else "-" if found[0] is None else found[0]
    return shown


def discard_aside(connection: Connection, row: AsideRow, decision: Decision) -> None:
    """Give it up; a message that waits for it ends as `discarded`. In the caller's transaction."""
    discard_pending(connection, row.stream_id, row.version, reason=decision.because, actor=decision.by)
    _decide(connection, row, "discarded", decision)


def request_aside(connection: Connection, row: AsideRow, decision: Decision) -> bool:
    """Request its message again, in the caller's transaction; False where none waits for it any more.

    Raises PostgresError where its data cannot be read even now.
    """
    query = "SELECT id, version FROM messages WHERE id = %(id)s AND version = %(version)s AND status = 'pending'"
    choice = Choice(f"{query} LIMIT %(limit)s", {"id": str(row.stream_id), "version": row.version}, "'lost'")
    note_published(connection, row, decision)  # first: what nobody has decided about is not requested
    if request_again(connection, choice, limit=1):
        return True
    connection.rollback()
    return False


def note_published(connection: Connection, row: AsideRow, decision: Decision) -> None:
    """Note that its record was published, in the caller's transaction."""
    _decide(connection, row, "published", decision)


def _decide(connection: Connection, row: AsideRow, what: str, decision: Decision) -> None:
    values = {"id": str(row.stream_id), "version": row.version, "decision": what}
    execute(connection, _DECIDE, {**values, "by": decision.by, "because": decision.because})


def _fetch(connection: Connection, query: str, values: dict[str, Any]) -> list[AsideRow]:
    rows = fetch_named(connection, query, values)
    return [AsideRow(**{**row, "stream_id": UUID(row["stream_id"])}) for row in rows]
