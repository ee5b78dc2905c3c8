"""A connection whose network swallows everything is given up in time."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from unittest.mock import Mock

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError as PoolOperationalError

from herald.outbox.postgres import watch
from herald.outbox.postgres.connections import connect_watched, is_outage
from herald.outbox.postgres.driver import InterfaceError, OperationalError
from herald.outbox.postgres.engine import make_engine
from herald.outbox.postgres.prepared import prepare
from herald.outbox.postgres.statements import fetch
from herald.outbox.postgres.watch import GRACE, WatchedConnection
from herald.outbox.settings import Settings
from tests.outbox.connections import make_settings
from tests.servers.eventually import eventually
from tests.servers.postgres import PostgresServer
from tests.servers.proxy import Proxy

SHORT = 0.5  # seconds a statement may take
PATIENCE = 10.0  # seconds


@pytest.fixture
def proxy(server: PostgresServer) -> Iterator[Proxy]:
    with Proxy(server.socket) as proxy:
        yield proxy


@pytest.fixture
def settings(server: PostgresServer, proxy: Proxy) -> Settings:
    return make_settings(server.url_by(proxy.port), statement_timeout=SHORT)


@contextmanager
def opened(settings: Settings) -> Iterator[WatchedConnection]:
    with closing(connect_watched(settings, "test")) as connection:
        connection.limit = 2 * SHORT
        yield connection


def test_a_statement_that_is_never_answered_ends_as_an_outage(settings: Settings, proxy: Proxy) -> None:
    with opened(settings) as connection:
        assert fetch(connection, "SELECT 1") == [(1,)]
        proxy.swallow()

        with pytest.raises(OperationalError) as ended:
            fetch(connection, "SELECT 1")

    assert is_outage(ended.value)


def test_a_prepared_statement_that_is_never_answered_ends_as_an_outage(settings: Settings, proxy: Proxy) -> None:
    one = prepare("one", "SELECT 1")
    with opened(settings) as connection:
        assert fetch(connection, one) == [(1,)]
        proxy.swallow()

        with pytest.raises(OperationalError) as ended:
            fetch(connection, one)

    assert is_outage(ended.value)


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_the_end_of_a_transaction_that_is_never_answered_ends_as_an_outage(
    settings: Settings, proxy: Proxy, end: str
) -> None:
    with opened(settings) as connection:
        fetch(connection, "SELECT 1")
        proxy.swallow()

        with pytest.raises((OperationalError, InterfaceError)):
            getattr(connection, end)()


def test_connections_of_the_pool_are_watched(settings: Settings, proxy: Proxy) -> None:
    engine = make_engine(settings, "test")
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        proxy.swallow()

        with pytest.raises(PoolOperationalError):
            connection.execute(text("SELECT 1"))


def test_who_rests_and_was_not_heard_since_another_fell_silent_is_given_up_with_it(
    settings: Settings, proxy: Proxy
) -> None:
    with opened(settings) as silent, opened(settings) as resting, ThreadPoolExecutor() as pool:
        fetch(resting, "SELECT 1")
        proxy.swallow()
        with pytest.raises(OperationalError):
            fetch(silent, "SELECT 1")

        resting.limit = 3600  # of its own it would be given up much later
        asked = pool.submit(fetch, resting, "SELECT 1")
        try:
            assert isinstance(asked.exception(PATIENCE), OperationalError)
        finally:
            proxy.cut()


def test_who_was_heard_since_another_fell_silent_is_left_alone(
    settings: Settings, server: PostgresServer, proxy: Proxy
) -> None:
    direct = make_settings(server.url())
    with opened(settings) as silent, opened(direct) as heard, ThreadPoolExecutor() as pool:
        proxy.swallow()
        lost = pool.submit(fetch, silent, "SELECT 1")
        eventually(lambda: fetch(heard, "SELECT 1") and lost.done())

        assert lost.exception()
        assert fetch(heard, "SELECT 1") == [(1,)]


def test_where_no_thread_can_be_started_it_is_shut_in_time_and_cancelled_once_one_can(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(make_settings(server.url())) as connection:
        with monkeypatch.context() as patched, connection.watched():
            patched.setattr(threading.Thread, "start", Mock(side_effect=RuntimeError("can't start new thread")))
            connection.limit = -2 * GRACE
            assert connection.end_if_late() is not None

        assert not connection._is_cancelled  # noqa: SLF001 - that it tries again shows nowhere else


def test_where_the_watch_cannot_be_started_the_next_connection_tries_again(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = threading.Lock()
    monkeypatch.setattr(watch, "_started", started)
    monkeypatch.setattr(threading.Thread, "start", Mock(side_effect=RuntimeError("can't start new thread")))

    with pytest.raises(RuntimeError):
        connect_watched(make_settings(server.url()), "test")

    assert not started.locked()


def test_who_rests_between_two_statements_is_left_alone(settings: Settings) -> None:
    with opened(settings) as connection:
        connection.limit = 0
        connection.end_if_late()

        assert fetch(connection, "SELECT 1") == [(1,)]


def test_who_begins_a_call_while_the_silent_are_ended_is_ended_with_those_who_rest(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that began before that look is left to its own limit."""
    shut: list[WatchedConnection] = []

    def note(connection: WatchedConnection) -> None:
        shut.append(connection)

    monkeypatch.setattr(WatchedConnection, "_shut", note)
    with opened(settings) as begins, opened(settings) as works:
        for connection, busy_since in ((begins, 11.0), (works, 9.0)):
            connection.heard_at, connection.limit = 1.0, float("inf")
            monkeypatch.setattr(connection, "_busy_since", busy_since)
            connection.end_if_unheard(5.0, looked_at=10.0)
            monkeypatch.setattr(connection, "_busy_since", None)

        assert shut == [begins]
