"""A leader that reads nothing is ended by a standby; no other one is."""

from collections.abc import Iterator
from uuid import uuid4

import pytest

from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.notify import CHANNEL, listen
from herald.outbox.postgres.statements import fetch
from herald.outbox.relay import session as sessions
from herald.outbox.relay.session import end_deaf_leader, open_session, try_to_lead
from herald.outbox.settings import Settings
from tests.outbox.connections import execute_and_commit, make_settings
from tests.servers.eventually import eventually

LONG = "x" * 7000  # a notification may have 8,000 bytes
WAITS = "SELECT wait_event FROM pg_stat_activity WHERE pid = %s"


@pytest.fixture
def settings(database: str) -> Settings:
    return make_settings(database)


@pytest.fixture
def leader(settings: Settings) -> Iterator[Connection]:
    session = open_session(settings)
    assert try_to_lead(session)
    listen(session)
    yield session
    session.close()


@pytest.fixture
def standby(settings: Settings) -> Iterator[Connection]:
    session = open_session(settings)
    yield session
    session.close()


def deafen(leader: Connection, standby: Connection) -> None:
    """Notify until the server is stuck in writing to the leader, which reads nothing."""

    def is_stuck() -> bool:
        for number in range(50):
            execute_and_commit(standby, f"SELECT pg_notify({CHANNEL}, %s)", f"{number} {LONG}")
        return fetch(standby, WAITS, leader.info.backend_pid) == [("ClientWrite",)]

    eventually(is_stuck, 60.0, what="the server is stuck")


def test_a_leader_that_reads_nothing_is_ended_by_a_standby(
    settings: Settings, leader: Connection, standby: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "SILENCE", "0.5s")
    deafen(leader, standby)

    eventually(lambda: end_deaf_leader(standby, settings) == 1, 30.0, what="the leader is ended")

    eventually(lambda: try_to_lead(standby), 30.0, what="the standby leads")


def test_a_leader_that_was_heard_of_a_moment_ago_is_left_alone(
    settings: Settings, leader: Connection, standby: Connection
) -> None:
    deafen(leader, standby)

    assert end_deaf_leader(standby, settings) == 0


def test_a_silent_leader_is_left_to_the_server(
    settings: Settings, leader: Connection, standby: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "SILENCE", "0s")

    assert not leader.closed
    assert end_deaf_leader(standby, settings) == 0
    assert not try_to_lead(standby)


def test_a_session_that_is_no_relay_is_left_alone(
    settings: Settings, leader: Connection, standby: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "SILENCE", "0s")
    execute_and_commit(leader, "SET application_name = 'of-the-caller'")
    deafen(leader, standby)

    assert end_deaf_leader(standby, settings) == 0


def test_a_session_of_a_role_that_is_not_ours_is_left_alone(
    settings: Settings, leader: Connection, standby: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "SILENCE", "0s")
    deafen(leader, standby)
    role = f"r_{uuid4().hex}"
    execute_and_commit(standby, f"CREATE ROLE {role} IN ROLE pg_signal_backend, pg_read_all_stats")
    execute_and_commit(standby, f"GRANT USAGE ON SCHEMA herald TO {role}")
    execute_and_commit(standby, f"SET ROLE {role}")

    assert end_deaf_leader(standby, settings) == 0

    execute_and_commit(standby, "RESET ROLE")
    assert end_deaf_leader(standby, settings) == 1
