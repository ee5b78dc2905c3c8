"""What can be repaired without a decision: everything else is for a person, and its finding says for which."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import chain
from uuid import UUID

from herald.outbox.message.state import COLUMNS, fold
from herald.outbox.moves.request_again import Choice, request_again
from herald.outbox.moves.settle import settle_batch
from herald.outbox.operate.audit.findings import Checked, Repair
from herald.outbox.operate.audit.streams import ROW, Row, columns_of, differences, has_gap
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.log import read_stream
from herald.outbox.postgres.statements import execute, fetch_column, fetch_named
from herald.outbox.settings import Settings

SAYS: dict[Repair, str] = {
    "request": "requested again",
    "project": "rows and queues written from the log",
    "settle": "leases settled",
}
_CHOSEN = """
SELECT id, version FROM messages
WHERE id = ANY (%(ids)s::uuid[]) AND status = 'pending' AND updated_at < %(before)s LIMIT %(limit)s
"""
_LOCKED = f"SELECT {ROW} FROM messages WHERE id = %(id)s FOR NO KEY UPDATE"
_MISPLACED = "SELECT id::text FROM queue_differences WHERE id = %s::uuid LIMIT 1"
_TYPES = {"id": "uuid", "requested_in": "xid8"}


def plan(checked: Sequence[Checked]) -> list[str]:
    """What a repair would do, a line for each kind; at most as many as there are ids."""
    counts = {kind: len(_ids(checked, kind)) for kind in SAYS}
    return [f"to be repaired: {SAYS[kind]}: {count:,}" for kind, count in counts.items() if count]


def repair(
    connection: Connection, settings: Settings, checked: Sequence[Checked], *, before: datetime
) -> dict[str, int]:
    """Do it; returns how many of each kind. Commits after each step, so that it can end anywhere.

    What moved since the audit began (`before`, by the database's clock) is not touched. Raises PostgresError.
    """
    done: dict[str, int] = {}
    if lost := _ids(checked, "request"):
        chosen = Choice(_CHOSEN, {"ids": lost, "before": before}, "'lost'")
        done[SAYS["request"]] = len(request_again(connection, chosen, limit=len(lost)))
    if wrong := _ids(checked, "project"):
        done[SAYS["project"]] = sum(project(connection, UUID(one)) for one in wrong)
    if _ids(checked, "settle"):
        done[SAYS["settle"]] = _settle(connection, settings)
    return done


def project(connection: Connection, message_id: UUID) -> bool:
    """Write a row from the fold of its events, where they differ, and put it in its queues; owns its transaction.

    Whoever appends to a stream holds its row, so under its lock the log stands still. A stream with a gap, and
    a row that knows of later events than the log, are left alone: there the log is not the whole truth.
    """
    connection.autocommit = False
    try:
        row = next(iter(fetch_named(connection, _LOCKED, {"id": str(message_id)})), None)
        is_written = _write(connection, message_id, row)
        is_moved = fetch_column(connection, _MISPLACED, str(message_id)) != []
        if is_moved:
            execute(connection, "SELECT queues_follow(ARRAY[%s::uuid])", str(message_id))
        connection.commit()
    finally:
        connection.rollback()
        connection.autocommit = True
    return is_written or is_moved


def _write(connection: Connection, message_id: UUID, row: Row | None) -> bool:
    stream = read_stream(connection, message_id)
    if not stream or has_gap(stream):
        return False
    message = fold(stream)
    if row is None:
        values = ", ".join(_placeholder(name) for name in COLUMNS)
        insert = f"INSERT INTO messages ({', '.join(COLUMNS)}) VALUES ({values}) ON CONFLICT DO NOTHING"
        return execute(connection, insert, columns_of(message)) == 1
    if row["version"] > message.version or not (wrong := differences(message, row)):
        return False
    changes = ", ".join(f"{name} = {_placeholder(name)}" for name in wrong)
    execute(connection, f"UPDATE messages SET {changes} WHERE id = %(id)s", columns_of(message))
    return True


def _placeholder(name: str) -> str:
    return f"%({name})s::{_TYPES[name]}" if name in _TYPES else f"%({name})s"


def _settle(connection: Connection, settings: Settings) -> int:
    """As the scheduler does, until there is nothing left that nobody else holds."""
    settled = 0
    while batch := sum(settle_batch(connection, settings).values()):
        settled += batch
    return settled


def _ids(checked: Iterable[Checked], kind: Repair) -> list[str]:
    found = chain.from_iterable(check.findings for check in checked)
    return list(dict.fromkeys(one for finding in found if finding.repair == kind for one in finding.ids))
