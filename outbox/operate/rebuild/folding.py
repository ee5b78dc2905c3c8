"""From rows of the log to rows of the projection: folded by the real rules, written as COPY wants them."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

import msgspec

from herald.outbox.message.state import Message, evolve
from herald.outbox.postgres.driver import Connection, errors
from herald.outbox.postgres.log import decode
from herald.outbox.postgres.statements import copy_in

CHUNK = 65_536  # characters of COPY at once
COLUMNS = Message.__struct_fields__
_UNSAFE = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


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
    return "\t".join([_field(value) for value in msgspec.structs.astuple(message)]) + "\n"


def _field(value: object) -> str:
    if value is None:
        return "\\N"
    if isinstance(value, str):
        return value.translate(_UNSAFE) if not value.isalnum() else value
    if isinstance(value, msgspec.Raw):
        return bytes(value).decode().replace("\\", "\\\\")  # JSON has no bare tab and no bare end of line
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value)


class Lines:
    """A file of what an iterator yields, as psycopg2's COPY reads it."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self._failure: Exception | None = None

    @classmethod
    def copy(cls, connection: Connection, statement: str, lines: Iterator[str]) -> None:
        """Run COPY … FROM STDIN. Raises PostgresError, and what the iterator raises: psycopg2 would hide it."""
        file = cls(lines)
        try:
            copy_in(connection, statement, file, size=CHUNK)
        except errors.QueryCanceled:
            if file._failure is not None:
                raise file._failure from None
            raise

    def read(self, size: int = CHUNK, /) -> bytes:
        """About `size` characters in whole lines; empty at the end."""
        try:
            return self._next(size)
        except Exception as error:
            self._failure = error
            raise

    def _next(self, size: int) -> bytes:
        parts: list[str] = []
        length = 0
        for line in self._lines:
            parts.append(line)
            length += len(line)
            if length >= size:
                break
        return "".join(parts).encode()

    def readline(self, _size: int = -1, /) -> bytes:
        """The next one; empty at the end."""
        return next(self._lines, "").encode()
