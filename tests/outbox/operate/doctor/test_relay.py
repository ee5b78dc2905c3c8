"""What `herald doctor` says of the relay."""

from collections.abc import Iterator

import pytest

from herald.outbox.postgres.driver import Connection
from herald.outbox.relay.cursor import load
from herald.outbox.relay.session import LEADER, try_to_lead
from tests.conftest import StartHerald
from tests.outbox.connections import accepted, connected, execute_and_commit, notification
from tests.outbox.operate.doctor.findings import follow, look, look_once
from tests.proof.end_to_end.system import STARTED
from tests.servers.eventually import eventually


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    with connected(database) as connection:
        yield connection


def test_a_system_without_a_relay_is_a_warning(database: str) -> None:
    found = look_once(database, "leader")

    assert (found.level, found.advice) == ("warning", "herald relay")


def test_the_leader_and_who_stands_by_are_named(database: str, broker: str, start_herald: StartHerald) -> None:
    servers = {"DATABASE_URL": database, "KAFKA_BOOTSTRAP_SERVERS": broker}
    start_herald("relay", **servers).wait_for('"leading"', STARTED)
    start_herald("relay", **servers).wait_for('"standing_by"', STARTED)

    found = look_once(database, "leader")

    assert found.level == "ok"
    assert found.text.startswith("led by 'herald-relay', pid ")
    assert found.text.endswith("1 standing by")
    assert look_once(database, "cursor's PostgreSQL").level == "ok"
    assert look_once(database, "backlog").text.startswith("0 to publish; cursor at epoch ")


def test_a_lock_that_is_held_by_something_else_is_a_problem(database: str, connection: Connection) -> None:
    assert try_to_lead(connection)

    found = look_once(database, "leader")
    follow(database, found)

    assert found.level == "problem"
    assert f"the leader's lock is held by 'test', pid {connection.info.backend_pid} from this host" in found.text
    eventually(lambda: look_once(database, "leader").text.startswith("no relay leads"), what="the lock is free")


def test_a_lock_on_two_numbers_is_not_the_leaders(database: str, connection: Connection) -> None:
    execute_and_commit(connection, f"SELECT pg_advisory_lock(0, {LEADER})")

    assert look_once(database, "leader").text.startswith("no relay leads")


def test_a_cursor_of_another_cluster_is_a_problem(database: str, connection: Connection) -> None:
    load(connection)
    execute_and_commit(connection, "UPDATE relay_cursor SET system_identifier = '42'")

    found = look_once(database, "cursor's PostgreSQL")

    assert (found.level, "belongs to the PostgreSQL cluster 42" in found.text) == ("problem", True)
    assert found.advice
    assert "herald relay --rebase" in found.advice


def test_a_database_no_relay_has_seen_is_a_note(database: str) -> None:
    assert look_once(database, "cursor's PostgreSQL").level == "note"
    assert look(database, "backlog") == []


def test_a_backlog_that_nobody_publishes_is_a_problem(database: str, connection: Connection) -> None:
    load(connection)
    accepted(connection, notification(), notification())
    assert look_once(database, "backlog").level == "ok"
    execute_and_commit(connection, "UPDATE relay_cursor SET saved_at = saved_at - interval '1 hour'")

    found = look_once(database, "backlog")

    assert (found.level, found.text[:14]) == ("problem", "2 to publish; ")
