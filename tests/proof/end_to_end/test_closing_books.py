"""Callers while the books are being closed: nobody gets an error, and everything accepted is there."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest

from herald.outbox.postgres.connections import read_clock
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch
from herald.outbox.relay import cursor as cursors
from herald.outbox.scheduler.partitions import make_partitions
from herald.outbox.scheduler.retention import close_books
from tests.outbox.connections import connected, execute_and_commit
from tests.outbox.scheduler.simulated_clock import shift, simulated_clock
from tests.proof.end_to_end.system import MakeHerald, show
from tests.servers.eventually import eventually

CALLERS = 4
HOURS = 6  # partitions, closed one after the other


@pytest.fixture
def each_broker(broker: str) -> str:
    """The embedded one only: what is tested here is the database."""
    return broker


def close_at(connection: Connection, hours: timedelta) -> datetime:
    """Close what is due by then; returns up to when the books are closed."""

    def close() -> bool:
        execute_and_commit(connection, "UPDATE relay_cursor SET previous = pg_current_snapshot()")  # all is published
        at = read_clock(connection) + hours
        return close_books(connection, retention=7200.0, at=at) is None and is_closed(connection, at)

    eventually(close, 60.0, what="the books are closed")
    ((until,),) = fetch(connection, "SELECT outbox_time_of(horizon) FROM closing")
    return until  # type: ignore[no-any-return]


def is_closed(connection: Connection, at: datetime) -> bool:
    due = "SELECT count(*) FROM partitions, closing WHERE ends_at <= %s AND upper > horizon"
    return fetch(connection, due, at - timedelta(seconds=7200)) == [(0,)]


def test_no_caller_gets_an_error_while_the_books_are_closed(database: str, make_herald: MakeHerald) -> None:
    with connected(database) as connection, ThreadPoolExecutor(CALLERS) as callers:
        connection.autocommit = True
        with simulated_clock(connection):
            shift(connection, timedelta(hours=-2 - HOURS))
            make_partitions(connection, retention=7200.0, at=read_clock(connection))
        cursors.load(connection)
        herald = make_herald()
        herald.start("api")
        herald.await_api()
        stop = threading.Event()

        def call() -> list[str]:
            accepted = []
            while not stop.is_set():
                accepted.append(herald.post_notification())
                herald.look(accepted[-1])
            return accepted

        calling = [callers.submit(call) for _ in range(CALLERS)]
        try:
            closed = {close_at(connection, timedelta(hours=hours - HOURS)) for hours in range(HOURS + 1)}
        finally:
            stop.set()
        accepted = [message for one in calling for message in one.result()]
        show(f"{len(accepted)} accepted during {len(closed)} closings")
        assert len(closed) >= HOURS
        assert fetch(connection, "SELECT count(*) FROM messages") == [(len(accepted),)]
