"""Plans of statements as they are run."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from benchmarks.growth.plans import PAGE, explaining, summed
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.prepared import prepare
from herald.outbox.postgres.statements import execute, fetch_value
from tests.servers.postgres import connect_to_tables

PAUSE = "INSERT INTO pauses (scope) VALUES (%s)"
PAUSES = "SELECT count(*) FROM pauses"
MANY = prepare("many", "SELECT n FROM generate_series(1, %(count)s) AS n ORDER BY n DESC", count="integer")


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    with closing(connect_to_tables(database)) as opened:
        yield opened


@pytest.mark.parametrize("is_autocommit", [True, False])
def test_what_is_explained_is_done_once(connection: Connection, *, is_autocommit: bool) -> None:
    connection.autocommit = is_autocommit

    with explaining([connection]) as explained:
        execute(connection, PAUSE, "all")

    assert [one.statement for one in explained] == ["INSERT INTO pauses (scope) VALUES ('all')"]
    assert fetch_value(connection, PAUSES) == 1


def test_a_prepared_statement_that_sorts_more_than_a_page_is_found(connection: Connection) -> None:
    with explaining([connection]) as explained:
        execute(connection, MANY, {"count": PAGE})
        assert summed(explained) == {}
        execute(connection, MANY, {"count": PAGE + 1})

    assert summed(explained) == {"Sort": PAGE + 1}


def test_a_whole_table_that_is_read_is_found(connection: Connection) -> None:
    execute(connection, "INSERT INTO pauses (scope) SELECT n::text FROM generate_series(1, 2000) AS n")
    execute(connection, "SET enable_indexscan = off; SET enable_bitmapscan = off; SET enable_indexonlyscan = off")

    with explaining([connection]) as explained:
        fetch_value(connection, PAUSES)

    assert summed(explained) == {"Seq Scan of pauses": 2000}
