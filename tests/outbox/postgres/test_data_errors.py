"""Whose fault an error is: the data's, or nobody's."""

from uuid import UUID

import pytest

from herald.outbox.moves.accept import Acceptance, accept
from herald.outbox.postgres.connections import is_data_error, is_outage
from herald.outbox.postgres.driver import Connection, PostgresError
from tests.outbox.connections import connected, execute_and_commit, notification


def failing(connection: Connection, statement: str) -> PostgresError:
    with pytest.raises(PostgresError) as raised:
        execute_and_commit(connection, statement)
    connection.rollback()
    return raised.value


@pytest.mark.parametrize(
    ("statement", "is_data"),
    [
        ("SELECT '1e400000'::jsonb", True),
        ("SELECT '\"\\u0000\"'::jsonb", True),
        ("INSERT INTO relay_pages VALUES (1, '1:1:', '{}'), (1, '1:1:', '{}')", True),
        ("DO $$ BEGIN RAISE SQLSTATE '53100'; END $$", False),
        ("DO $$ BEGIN RAISE SQLSTATE '40001'; END $$", False),
        ("SET TRANSACTION READ ONLY; INSERT INTO relay_pages VALUES (1, '1:1:', '{}')", False),
    ],
)
def test_errors_of_the_data_and_of_the_database_are_told_apart(database: str, statement: str, *, is_data: bool) -> None:
    with connected(database) as connection:
        error = failing(connection, statement)

    assert (is_data_error(error), is_outage(error)) == (is_data, not is_data)


def test_a_missing_partition_is_not_the_datas_fault(database: str) -> None:
    far_ahead = Acceptance(UUID("ffffffff-ffff-7fff-bfff-ffffffffffff"), "generic_topic", None, notification().data)
    with connected(database) as connection, pytest.raises(PostgresError) as raised:
        accept(connection, [far_ahead])

    assert (is_data_error(raised.value), is_outage(raised.value)) == (False, True)
