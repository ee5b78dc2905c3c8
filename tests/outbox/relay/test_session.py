"""A leader that reads nothing is ended by a standby; no other one is."""

from collections.abc import Iterator

import pytest

from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.notify import CHANNEL
from herald.outbox.postgres.statements import fetch
from herald.outbox.relay import session as sessions
from herald.outbox.relay.session import end_deaf_leader, open_session, try_to_lead
from tests.outbox.connections import execute_and_commit, make_settings
from tests.servers.eventually import eventually

LONG = "x" * 7000  # a notification may have 8,000 bytes
WAITS = "SELECT wait_event FROM pg_stat_activity WHERE pid = %s"


@pytest.fixture
def leader(database: str) -> Iterator[Connection]:
    session = open_session(make_settings(database))
    assert try_to_lead(session)
    execute_and_commit(session, f"LISTEN {CHANNEL}")
    yield session
    session.close()


@pytest.fixture
def standby(database: str) -> Iterator[Connection]:
    session = open_session(make_settings(database))
    yield session
    session.close()


def deafen(leader: Connection, standby: Connection) -> None:
    """Notify until the server is stuck in writing to the leader, which reads nothing."""

    def is_stuck() -> bool:
        for number in range(50):
            execute_and_commit(standby, "SELECT pg_notify(%s, %s)", CHANNEL, f"{number} {LONG}")
        return fetch(standby, WAITS, leader.info.backend_pid) == [("ClientWrite",)]

    eventually(is_stuck, 60.0, what="the server is stuck")


def test_a_leader_that_reads_nothing_is_ended_by_a_standby(
    leader: Connection, standby: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "SILENCE", "0.5s")
    deafen(leader, standby)

    eventually(lambda: end_deaf_leader(standby) == 1, 30.0, what="the leader is ended")

    eventually(lambda: try_to_lead(standby), 30.0, what="the standby leads")


def test_a_leader_that_was_heard_of_a_moment_ago_is_left_alone(leader: Connection, standby: Connection) -> None:
    deafen(leader, standby)

    assert end_deaf_leader(standby) == 0


def test_a_silent_leader_is_left_to_the_server(
    leader: Connection, standby: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "SILENCE", "0s")

    assert not leader.closed
    assert end_deaf_leader(standby) == 0
    assert not try_to_lead(standby)
