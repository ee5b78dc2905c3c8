"""The log itself, and the table that is its fold: gaps, events that cannot be read, rows that differ."""

from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import msgspec

from herald.outbox.message.events import Carried, Recorded, Recovered
from herald.outbox.message.state import Message, fold
from herald.outbox.operate.audit.findings import Checked, Finding, Suspects
from herald.outbox.operate.audit.scope import Scope
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.log import COLUMNS, decode
from herald.outbox.postgres.statements import stream

GAPS = "version-gap"
UNREADABLE = "unreadable-event"
PROJECTION = "projection"
BATCH = 2_000  # rows fetched at once

OPEN_ANYWHERE = (Carried, Recovered)  # events that may open a stream at a version above 1

AS_TEXT = ("id", "data", "requested_in")
ROW = ", ".join(f"{name}::text" if name in AS_TEXT else name for name in Message.__struct_fields__)
_LOG = f"SELECT {COLUMNS} FROM outbox WHERE stream_id >= %(first_id)s::uuid ORDER BY stream_id, version"
_MESSAGES = f"SELECT {ROW} FROM messages WHERE id >= %(first_id)s::uuid ORDER BY id"

Row = dict[str, Any]


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


class _Comparison:
    """Takes stream after stream; remembers what is wrong."""

    def __init__(self, limit: int) -> None:
        self.streams = self.events = self.rows = 0
        self.gaps, self.unreadable = Suspects(limit), Suspects(limit)
        self.rowless, self.differing = Suspects(limit), Suspects(limit)
        self.eventless, self.ahead = Suspects(limit), Suspects(limit)
        self.columns: Counter[str] = Counter()

    def look(self, stream_id: str, events: list[tuple[Any, ...]], row: Row | None) -> None:
        self.streams += bool(events)
        self.events += len(events)
        self.rows += row is not None
        if not events:
            self.eventless.add(stream_id)
            return
        try:
            stream = [decode(event) for event in events]
        except Exception:  # noqa: BLE001 - whatever somebody wrote there: one stream must not end the audit of all
            self.unreadable.add(stream_id)
            return
        if has_gap(stream):
            self.gaps.add(stream_id)
            return
        self._compare(stream_id, stream, row)

    def _compare(self, stream_id: str, stream: list[Recorded], row: Row | None) -> None:
        try:
            message = fold(stream)
        except Exception:  # noqa: BLE001 - the same
            self.unreadable.add(stream_id)
            return
        if row is None:
            self.rowless.add(stream_id)
        elif row["version"] > message.version:
            self.ahead.add(stream_id)
        elif columns := differences(message, row):
            self.differing.add(stream_id)
            self.columns.update(columns)

    def checked(self) -> list[Checked]:
        read = f"{self.events:,} events of {self.streams:,} streams"
        return [
            Checked(check=GAPS, looked_at=read, findings=self._gaps()),
            Checked(check=UNREADABLE, looked_at=read, findings=self._unreadable()),
            Checked(check=PROJECTION, looked_at=f"{self.rows:,} rows, {read}", findings=self._projection()),
        ]

    def _gaps(self) -> list[Finding]:
        says = "{count} streams whose versions are not 1, 2, 3 …: events were deleted"
        return self.gaps.finding(GAPS, "loss", says, "get these rows of `outbox` back from a backup")

    def _unreadable(self) -> list[Finding]:
        says = "{count} streams with an event that this release cannot read or fold"
        advice = "run the audit of the newest release that writes here; if that is this one, report it"
        return self.unreadable.finding(UNREADABLE, "contradiction", says, advice)

    def _projection(self) -> list[Finding]:
        which = ", ".join(f"{name} {count:,}" for name, count in self.columns.most_common())
        again = "`herald audit --repair --yes` writes them anew from the log"
        alone = "leave these rows alone: they may be the only copy. Look for the events in a backup, and on Kafka"
        return [
            *self.differing.finding(
                PROJECTION,
                "contradiction",
                f"{{count}} rows differ from the fold of their events ({which})",
                again,
                repair="project",
            ),
            *self.rowless.finding(
                PROJECTION, "contradiction", "{count} streams without a row", again, repair="project"
            ),
            *self.ahead.finding(
                PROJECTION, "loss", "{count} rows know of later events than the log: its last ones were deleted", alone
            ),
            *self.eventless.finding(PROJECTION, "loss", "{count} rows without any event in the log", alone),
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
    """A message as `ROW` reads it; its data is jsonb's text, which no number is rounded in."""
    data = bytes(message.data).decode()
    as_text = {"id": str(message.id), "data": data, "requested_in": str(message.requested_in)}
    return {**msgspec.structs.asdict(message), **as_text}


def as_row(values: tuple[Any, ...]) -> Row:
    """What `ROW` reads, by column."""
    return dict(zip(Message.__struct_fields__, values, strict=True))


def _side_by_side(connection: Connection, scope: Scope) -> Iterator[tuple[str, list[tuple[Any, ...]], Row | None]]:
    """Every id that the log or the table has, with its events and its row."""
    streams = groupby(_fetched(connection, "log", _LOG, scope), key=lambda event: str(event[0]))
    rows = _fetched(connection, "projection", _MESSAGES, scope)
    row = next(rows, None)
    for stream_id, events in streams:
        while row is not None and row[0] < stream_id:
            yield row[0], [], as_row(row)
            row = next(rows, None)
        if row is not None and row[0] == stream_id:
            yield stream_id, list(events), as_row(row)
            row = next(rows, None)
        else:
            yield stream_id, list(events), None
    while row is not None:
        yield row[0], [], as_row(row)
        row = next(rows, None)


def _fetched(connection: Connection, name: str, query: str, scope: Scope) -> Iterator[tuple[Any, ...]]:
    """In batches on the server's side; ids are text, which sorts as uuid does."""
    return stream(connection, query, scope.values, name=name, piece=BATCH)
