"""The log itself, and the table that is its fold: gaps, events that cannot be read, rows that differ."""

from collections import Counter
from collections.abc import Iterator
from heapq import merge
from itertools import groupby
from typing import Any, NamedTuple
from uuid import UUID

from herald.outbox.message.events import Carried, Recorded, Recovered
from herald.outbox.message.state import COLUMNS, Message, fold
from herald.outbox.operate.audit.findings import Checked, Finding, Repair, Severity, Suspects
from herald.outbox.operate.audit.looking import Scope
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.log import LOG_COLUMNS, decode
from herald.outbox.postgres.statements import fetch_column, stream, stream_named

BATCH = 2_000  # rows fetched at once

OPEN_ANYWHERE = (Carried, Recovered)  # events that may open a stream at a version above 1

AS_TEXT = ("id", "requested_in")
ROW = ", ".join(f"{name}::text" if name in AS_TEXT else name for name in COLUMNS)
_LOG = f"SELECT {LOG_COLUMNS} FROM outbox WHERE stream_id >= %(first_id)s::uuid ORDER BY stream_id, version"
_MESSAGES = f"SELECT {ROW} FROM messages WHERE id >= %(first_id)s::uuid ORDER BY id"

Row = dict[str, Any]
Event = tuple[Any, ...]


class Wrong(NamedTuple):
    """What may be wrong with a stream; `says` may name the columns."""

    check: str
    severity: Severity
    says: str
    advice: str
    repair: Repair | None = None


_AGAIN = "`herald audit --repair --yes` writes them anew from the log"
_ALONE = "leave these rows alone: they may be the only copy. Look for the events in a backup, and on Kafka"
GAP = Wrong(
    "version-gap",
    "loss",
    "{count} streams whose versions are not 1, 2, 3 …: events were deleted",
    "get these rows of `outbox` back from a backup",
)
UNREADABLE = Wrong(
    "unreadable-event",
    "contradiction",
    "{count} streams with an event that this release cannot read or fold",
    "run the audit of the newest release that writes here; if that is this one, report it",
)
DIFFERING = Wrong(
    "projection",
    "contradiction",
    "{count} rows differ from the fold of their events ({columns})",
    _AGAIN,
    "project",
)
ROWLESS = Wrong("projection", "contradiction", "{count} streams without a row", _AGAIN, "project")
AHEAD = Wrong(
    "projection", "loss", "{count} rows know of later events than the log: its last ones were deleted", _ALONE
)
MISPLACED = Wrong(
    "queues",
    "contradiction",
    "{count} messages stand in a wrong queue, or in none",
    _AGAIN.replace("them", "these"),
    "project",
)
EVENTLESS = Wrong("projection", "loss", "{count} rows without any event in the log", _ALONE)


def check_streams(connection: Connection, scope: Scope) -> list[Checked]:
    """Fold every stream with the code that every release uses, and compare it with its row, column by column.

    Log and projection are written in one statement, so any snapshot shows both or neither: both are read in
    one, side by side in the order of ids, and nothing under way can differ. It stays open for as long as that
    takes, and keeps VACUUM from what died meanwhile. A stream with a gap is not compared: its fold means nothing.
    """
    found = _Comparison(scope.limit)
    connection.autocommit = False
    connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
    try:
        for stream_id, events, row in _side_by_side(connection, scope):
            found.look(stream_id, events, row)
    finally:
        connection.rollback()
        connection.set_session(isolation_level="READ COMMITTED", readonly=False)
        connection.autocommit = True
    return found.checked()


def check_queues(connection: Connection, scope: Scope) -> Checked:
    """Compare the queues with the rows that they follow from, in one statement: nothing under way can differ."""
    query = "SELECT DISTINCT id::text FROM queue_differences WHERE id >= %(first_id)s::uuid ORDER BY 1"
    found = Suspects(scope.limit, fetch_column(connection, query, scope.values))
    wrong = MISPLACED
    return Checked(wrong.check, "every queue", found.found(wrong.severity, wrong.says, wrong.advice, wrong.repair))


class _Comparison:
    """Takes stream after stream; remembers what is wrong."""

    def __init__(self, limit: int) -> None:
        self.streams = self.events = self.rows = 0
        kinds = (GAP, UNREADABLE, DIFFERING, ROWLESS, AHEAD, EVENTLESS)
        self.suspects = {kind: Suspects(limit) for kind in kinds}
        self.columns: Counter[str] = Counter()

    def look(self, stream_id: str, events: list[Event], row: Row | None) -> None:
        self.streams += bool(events)
        self.events += len(events)
        self.rows += row is not None
        if wrong := self._judge(events, row) if events else EVENTLESS:
            self.suspects[wrong].add(stream_id)

    def _judge(self, events: list[Event], row: Row | None) -> Wrong | None:
        try:
            stream = [decode(event) for event in events]
            message = None if has_gap(stream) else fold(stream)
        except Exception:  # noqa: BLE001 - whatever somebody wrote there: one stream must not end the audit of all
            return UNREADABLE
        if message is None:
            return GAP
        if row is None:
            return ROWLESS
        if row["version"] > message.version:
            return AHEAD
        if columns := differences(message, row):
            self.columns.update(columns)
            return DIFFERING
        return None

    def checked(self) -> list[Checked]:
        read = f"{self.events:,} events of {self.streams:,} streams"
        looked_at = {GAP.check: read, UNREADABLE.check: read, DIFFERING.check: f"{self.rows:,} rows, {read}"}
        return [Checked(check, where, self._found(check)) for check, where in looked_at.items()]

    def _found(self, check: str) -> list[Finding]:
        columns = ", ".join(f"{name} {count:,}" for name, count in self.columns.most_common())
        return [
            finding
            for wrong, found in self.suspects.items()
            if wrong.check == check
            for finding in found.found(
                wrong.severity, wrong.says.replace("{columns}", columns), wrong.advice, wrong.repair
            )
        ]


def has_gap(stream: list[Recorded]) -> bool:
    """Whether versions are missing, at the beginning or in between."""
    first = stream[0].version
    begins = first == 1 or isinstance(stream[0].event, OPEN_ANYWHERE)
    return not begins or stream[-1].version != first + len(stream) - 1


def differences(message: Message, row: Row) -> list[str]:
    """The columns in which a row is not what its events say."""
    return [name for name, value in columns_of(message).items() if row[name] != value]


def columns_of(message: Message) -> Row:
    """A message as `ROW` reads it."""
    columns = {name: getattr(message, name) for name in COLUMNS}
    texts = {name: str(value) for name, value in columns.items() if isinstance(value, UUID) or name == "requested_in"}
    return columns | texts


def _side_by_side(connection: Connection, scope: Scope) -> Iterator[tuple[str, list[Event], Row | None]]:
    """Every id that the log or the table has, with its events and its row; ids are text, which sorts as uuid does."""
    log = stream(connection, _LOG, scope.values, name="log", piece=BATCH)
    rows = stream_named(connection, _MESSAGES, scope.values, name="projection", piece=BATCH)
    both = merge(((event[0], event, None) for event in log), ((row["id"], None, row) for row in rows), key=_id)
    for stream_id, found in groupby(both, key=_id):
        parts = list(found)
        events = [event for _, event, _ in parts if event is not None]
        yield stream_id, events, next((row for _, _, row in parts if row is not None), None)


def _id(part: tuple[str, Event | None, Row | None]) -> str:
    return part[0]
