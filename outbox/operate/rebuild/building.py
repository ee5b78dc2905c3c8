"""A table like the live partition, filled by folding the log's partition in one snapshot by the real rules."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from io import BufferedIOBase
from itertools import count, islice
from typing import Any

from herald.outbox.message.state import COLUMNS, Message, evolve
from herald.outbox.operate.rebuild.partitions import Pair
from herald.outbox.operate.rebuild.session import Session
from herald.outbox.operate.shown import Show
from herald.outbox.postgres.driver import Connection, errors
from herald.outbox.postgres.log import LOG_COLUMNS, decode
from herald.outbox.postgres.statements import copy_in, execute, fetch, fetch_one, fetch_value, stream

TOGETHER = 50  # lines of COPY that are sent at once
FETCH = 5_000  # rows of the log at once
SHOW_EVERY = 1_000  # messages
IN_BOUNDS = "rebuilt_in_bounds"  # lets ATTACH believe it without reading the table
_UNSAFE = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})

# In the order of the primary key, without sorting the whole log first.
_PLAN = "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off"

_INDEXES = """
SELECT c.relname, pg_get_indexdef(i.indexrelid), k.conname, pg_get_constraintdef(k.oid)
FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
LEFT JOIN pg_constraint AS k ON k.conindid = i.indexrelid AND k.conrelid = i.indrelid
WHERE i.indrelid = %s::regclass ORDER BY c.relname
"""


def begin_snapshot(session: Session, pair: Pair) -> tuple[str, str, int]:
    """Begin the reader's transaction; returns its snapshot, the name to share it by, and the live rows' number."""
    session.reader.rollback()
    query = f"SELECT pg_current_snapshot()::text, pg_export_snapshot(), (SELECT count(*) FROM {pair.live})"
    snapshot, shared, rows = fetch_one(session.reader, query)
    return snapshot, shared, rows


def fill(session: Session, pair: Pair, table: str, show: Show, *, options: str = "") -> int:
    """Fold the log's partition, as the reader's snapshot sees it, into `table`; returns how many messages."""
    numbers = count()
    messages = _counted(session, fold_streams(_read(session.reader, pair)), numbers, show)
    copy(session.writer, f"COPY {table} ({', '.join(COLUMNS)}) FROM STDIN {options}", messages)
    session.reader.rollback()
    return next(numbers)


def make_table(connection: Connection, pair: Pair) -> None:
    """Make it without indexes, with the live partition's constraints and storage options."""
    options = fetch_value(connection, "SELECT reloptions FROM pg_class WHERE oid = %s::regclass", pair.live)
    storage = f" WITH ({', '.join(options)})" if options else ""
    execute(connection, f"CREATE TABLE {pair.fresh} (LIKE {pair.live} INCLUDING ALL EXCLUDING INDEXES){storage}")


def make_indexes(session: Session, pair: Pair) -> dict[str, str]:
    """Those of the live partition, and the constraint that ATTACH wants; returns their later names by their present."""
    names: dict[str, str] = {}
    for number, (name, definition, constraint, condition) in enumerate(fetch(session.writer, _INDEXES, pair.live)):
        session.check()
        made = f"{pair.name}_rebuilt_{number}"
        if constraint is not None:
            execute(session.writer, f"ALTER TABLE {pair.fresh} ADD CONSTRAINT {made} {condition}")
        else:
            head, _, rest = definition.partition(" USING ")
            unique = "UNIQUE " if head.startswith("CREATE UNIQUE") else ""
            execute(session.writer, f"CREATE {unique}INDEX {made} ON {pair.fresh} USING {rest}")
        names[made] = name
    execute(session.writer, f"ALTER TABLE {pair.fresh} ADD CONSTRAINT {IN_BOUNDS} CHECK ({pair.constraint})")
    execute(session.writer, f"ANALYZE {pair.fresh}")
    return names


def _read(reader: Connection, pair: Pair) -> Iterator[tuple[Any, ...]]:
    execute(reader, _PLAN)
    query = f"SELECT {LOG_COLUMNS} FROM {pair.log} ORDER BY stream_id, version"
    yield from stream(reader, query, name="log", piece=FETCH)


def _counted(session: Session, messages: Iterator[Message], numbers: "count[int]", show: Show) -> Iterator[Message]:
    for message in messages:
        if (number := next(numbers)) % SHOW_EVERY == 0:
            session.check()
            show(number)
        yield message


def fold_streams(rows: Iterable[tuple[Any, ...]]) -> Iterator[Message]:
    """The messages of a log that comes stream by stream, oldest event first within each.

    Raises UnknownEventError, and ValueError for a stream that does not begin as one does.
    """
    state: Message | None = None
    for row in rows:
        recorded = decode(row)
        if state is not None and recorded.stream_id != state.id:
            yield state
            state = None
        state = evolve(state, recorded)
    if state is not None:
        yield state


def copy_line(message: Message) -> str:
    """A line of COPY … FROM STDIN, its columns in the order of COLUMNS."""
    return "\t".join([_field(getattr(message, name)) for name in COLUMNS]) + "\n"


def _field(value: object) -> str:
    if value is None:
        return "\\N"
    if isinstance(value, str):
        return value.translate(_UNSAFE) if not value.isalnum() else value
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value)


class Lines(BufferedIOBase):
    """A file of what an iterator yields, as psycopg2's COPY reads it; `failure` is what the iterator raised."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self.failure: Exception | None = None

    def read(self, _size: int | None = -1, /) -> bytes:
        """The next lines; empty at the end."""
        try:
            return "".join(islice(self._lines, TOGETHER)).encode()
        except Exception as error:
            self.failure = error
            raise


def copy(connection: Connection, statement: str, messages: Iterator[Message]) -> None:
    """Run COPY … FROM STDIN. Raises PostgresError, and what the iterator raises: psycopg2 would hide it."""
    file = Lines(copy_line(message) for message in messages)
    try:
        copy_in(connection, statement, file)
    except errors.QueryCanceled:
        if file.failure is not None:
            raise file.failure from None
        raise
