"""The pooler of the tests does what a pool in transaction mode does."""

import io
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from herald.outbox.postgres.connections import connect_anywhere, is_shared
from herald.outbox.postgres.driver import Connection, connect_plainly, errors
from herald.outbox.postgres.fitness import NOTHING
from herald.outbox.postgres.statements import fetch
from tests.outbox.connections import execute_and_commit, make_settings
from tests.servers.pooler import Pooler

PID = "SELECT pg_backend_pid()"


@contextmanager
def client_of(pooler: Pooler) -> Iterator[Connection]:
    with closing(connect_plainly(pooler.url)) as connection:
        yield connection


def test_a_transaction_has_one_session_and_the_next_may_have_another(database: str) -> None:
    with Pooler(database, is_round_robin=True) as pooler, client_of(pooler) as client:
        first = [fetch(client, PID), fetch(client, PID)]
        client.rollback()
        second = fetch(client, PID)

    assert first[0] == first[1] != second


def test_who_fails_in_a_transaction_keeps_its_session_until_it_rolls_back(database: str) -> None:
    with Pooler(database, size=1) as pooler, client_of(pooler) as client:
        with pytest.raises(errors.DivisionByZero):
            fetch(client, "SELECT 1 / 0")
        with pytest.raises(errors.InFailedSqlTransaction):
            fetch(client, PID)
        client.rollback()

        assert fetch(client, "SELECT 1") == [(1,)]


def test_what_a_client_left_open_is_not_handed_to_the_next(database: str) -> None:
    with Pooler(database, size=1) as pooler:
        with client_of(pooler) as client:
            fetch(client, "INSERT INTO herald.pauses (scope) VALUES ('all') RETURNING 1")

        with client_of(pooler) as client:
            assert fetch(client, "SELECT count(*) FROM herald.pauses") == [(0,)]


def test_rows_are_copied_in_through_it(database: str) -> None:
    with Pooler(database) as pooler, client_of(pooler) as client:
        with client.cursor() as cursor:
            cursor.copy_expert("COPY herald.pauses (scope) FROM STDIN", io.StringIO("topic:a\ntopic:b\n"))
        client.commit()

        assert fetch(client, "SELECT scope FROM herald.pauses ORDER BY 1") == [("topic:a",), ("topic:b",)]


def test_herald_sees_it(database: str) -> None:
    with Pooler(database) as pooler:
        settings = make_settings(pooler.url)
        with closing(connect_anywhere(settings, "test", checks=NOTHING)) as connection:
            connection.autocommit = True

            assert is_shared(connection, settings)


def test_many_clients_share_few_sessions(database: str) -> None:
    with Pooler(database, size=2) as pooler:
        for _ in range(8):
            with client_of(pooler) as client:
                execute_and_commit(client, "SELECT 1")

        with client_of(pooler) as client:
            assert fetch(client, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()") == [(1,)]
