"""The way to run a statement: it answers with rows, with one row, with a value, or with how many rows it touched.

`%s` takes the values one by one, `%(name)s` takes them from one mapping. What is run again and again is Prepared.
"""

from collections.abc import Callable, Generator, Mapping
from io import BufferedIOBase
from typing import Any, TypeVar, overload

from herald.outbox.postgres.driver import Connection, Cursor
from herald.outbox.postgres.prepared import Prepared, Values, run

Row = tuple[Any, ...]
Statement = str | Prepared
T = TypeVar("T")


class NoRowError(Exception):
    """A statement has given no row, though it always gives one."""


def execute(connection: Connection, statement: Statement, *values: object) -> int:
    """Run it; returns how many rows it touched or found."""
    with _run(connection, statement, values) as cursor:
        return cursor.rowcount


@overload
def fetch(connection: Connection, statement: Statement, *values: object) -> list[Row]: ...
@overload
def fetch(connection: Connection, statement: Statement, *values: object, into: Callable[..., T]) -> list[T]: ...
def fetch(
    connection: Connection, statement: Statement, *values: object, into: Callable[..., T] | None = None
) -> list[Row] | list[T]:
    """All rows; as what `into` makes of their columns, where it is given."""
    with _run(connection, statement, values) as cursor:
        rows = cursor.fetchall()
    return rows if into is None else [into(*row) for row in rows]


def fetch_column(connection: Connection, statement: Statement, *values: object) -> list[Any]:
    """The first column of all rows."""
    return [row[0] for row in fetch(connection, statement, *values)]


def fetch_named(connection: Connection, statement: Statement, *values: object) -> list[dict[str, Any]]:
    """All rows, by the names of their columns."""
    with _run(connection, statement, values) as cursor:
        return [_named(cursor, row) for row in cursor.fetchall()]


def find_one(connection: Connection, statement: Statement, *values: object) -> Row | None:
    """The first row, where there is one."""
    with _run(connection, statement, values) as cursor:
        return cursor.fetchone()


def fetch_one(connection: Connection, statement: Statement, *values: object) -> Row:
    """The first row of a statement that always gives one. Raises NoRowError."""
    row = find_one(connection, statement, *values)
    if row is None:
        raise NoRowError(str(statement))
    return row


def fetch_value(connection: Connection, statement: Statement, *values: object) -> Any:  # noqa: ANN401 - the column's type
    """The first column of the first row of a statement that always gives one. Raises NoRowError."""
    return fetch_one(connection, statement, *values)[0]


def stream(
    connection: Connection, statement: str, *values: object, name: str, piece: int
) -> Generator[Row, None, None]:
    """Row by row, from a cursor of this name on the server; `piece` of them come at once."""
    with _hold(connection, statement, values, name, piece) as cursor:
        yield from cursor


def stream_named(
    connection: Connection, statement: str, *values: object, name: str, piece: int
) -> Generator[dict[str, Any], None, None]:
    """The same by the names of their columns."""
    with _hold(connection, statement, values, name, piece) as cursor:
        for row in cursor:
            yield _named(cursor, row)


def copy_in(connection: Connection, statement: str, file: BufferedIOBase) -> None:
    """Run COPY … FROM STDIN; the file may give as much at once as it likes. Cancelled where reading fails."""
    with connection.cursor() as cursor:
        cursor.copy_expert(statement, file)


def _run(connection: Connection, statement: Statement, values: tuple[object, ...]) -> Cursor:
    cursor = connection.cursor()
    if isinstance(statement, Prepared):
        run(cursor, statement, _given(values))
    else:
        cursor.execute(statement, _given(values))
    return cursor


def _hold(connection: Connection, statement: str, values: tuple[object, ...], name: str, piece: int) -> Cursor:
    cursor = connection.cursor(name=name)
    cursor.itersize = piece
    cursor.execute(statement, _given(values))
    return cursor


def _given(values: tuple[Any, ...]) -> Values:
    """As the driver takes them; without any, a `%` in the statement means itself."""
    given = values[0] if len(values) == 1 and isinstance(values[0], Mapping) else values
    return given or None


def _named(cursor: Cursor, row: Row) -> dict[str, Any]:
    return dict(zip((column.name for column in cursor.description or ()), row, strict=True))
