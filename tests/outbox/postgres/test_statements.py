import re
from pathlib import Path
from typing import NamedTuple

import pytest

from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import (
    NoRowError,
    execute,
    fetch,
    fetch_column,
    fetch_named,
    fetch_one,
    fetch_value,
    find_one,
    stream,
    stream_named,
)

ROOT = Path(__file__).parents[3]
NUMBERS = "SELECT n, n * n AS square FROM generate_series(1, 3) AS n"


class Square(NamedTuple):
    n: int
    square: int


def test_rows_come_as_tuples_or_as_what_is_asked_for(connection: Connection) -> None:
    assert fetch(connection, NUMBERS) == [(1, 1), (2, 4), (3, 9)]
    assert fetch(connection, NUMBERS, into=Square)[1].square == 4
    assert fetch_named(connection, NUMBERS)[2] == {"n": 3, "square": 9}
    assert fetch_column(connection, NUMBERS) == [1, 2, 3]
    assert fetch_value(connection, NUMBERS) == 1


def test_values_are_given_one_by_one_or_by_their_names(connection: Connection) -> None:
    assert fetch_one(connection, "SELECT %s, %s", 1, "a") == (1, "a")
    assert fetch_one(connection, "SELECT %(b)s, %(a)s", {"a": 1, "b": 2}) == (2, 1)


@pytest.mark.parametrize("values", [(), ({},)])
def test_without_values_a_percent_sign_is_itself(connection: Connection, values: tuple[object, ...]) -> None:
    assert fetch_value(connection, "SELECT 'ada' LIKE 'a%' AND 7 % 2 = 1", *values) is True


def test_a_statement_that_gives_no_row_is_told_from_one_that_always_does(connection: Connection) -> None:
    assert find_one(connection, "SELECT 1 WHERE false") is None
    with pytest.raises(NoRowError):
        fetch_value(connection, "SELECT 1 WHERE false")


def test_execute_tells_how_many_rows_it_touched(connection: Connection) -> None:
    assert execute(connection, "INSERT INTO pauses (scope) VALUES ('topic:a'), ('topic:b')") == 2


def test_a_stream_is_read_piece_by_piece_and_closed_at_its_end(connection: Connection) -> None:
    rows = stream(connection, NUMBERS, name="numbers", piece=2)

    assert next(rows) == (1, 1)
    assert fetch_column(connection, "SELECT name FROM pg_cursors") == ["numbers"]
    rows.close()
    assert list(stream_named(connection, NUMBERS, name="numbers", piece=2))[:1] == [{"n": 1, "square": 1}]
    assert fetch(connection, "SELECT FROM pg_cursors") == []


def where(pattern: str) -> set[str]:
    """The modules that have it."""
    return {
        str(path.relative_to(ROOT))
        for room in ("alembic", "api", "outbox", "pipeline")
        for path in (ROOT / room).rglob("*.py")
        if re.search(pattern, path.read_text(encoding="utf-8"))
    }


def test_nobody_else_opens_a_cursor() -> None:
    """A second way to run a statement would be one without a limit of time, or without a plan kept."""
    assert where(r"\.cursor\(") == {"outbox/postgres/statements.py", "outbox/postgres/watch.py"}


def test_the_databases_clock_is_read_in_one_place() -> None:
    assert where(r'"SELECT (extract\([^)]*)?(clock_timestamp|now)\(\)') == {"outbox/postgres/connections.py"}
