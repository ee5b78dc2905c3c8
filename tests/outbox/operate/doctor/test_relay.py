"""What `herald doctor` says of the relay."""

import pytest

from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.locks import LEADER
from herald.outbox.postgres.statements import fetch
from herald.outbox.relay.cursor import load
from herald.outbox.relay.session import try_to_lead
from tests.conftest import StartHerald
from tests.outbox.connections import accepted, execute_and_commit, notification
from tests.outbox.operate.doctor.findings import follow, look, look_once
from tests.proof.end_to_end.system import STARTED
from tests.servers.eventually import eventually


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
    assert look_once(database, "not published").text.startswith("0 not published; cursor at epoch ")


def test_a_lock_that_is_held_by_something_else_is_a_problem(database: str, connection: Connection) -> None:
    assert try_to_lead(connection)

    found = look_once(database, "leader")
    follow(database, found)

    assert found.level == "problem"
    assert f"the leader's lock is held by 'test', pid {connection.info.backend_pid} from this host" in found.text
    eventually(lambda: look_once(database, "leader").text.startswith("no relay leads"), what="the lock is free")


@pytest.mark.parametrize("keys", [f"0, {LEADER}", f"{LEADER}", f"'public'::regnamespace::oid::integer, {LEADER}"])
def test_a_lock_of_anybody_else_is_not_the_leaders(database: str, connection: Connection, keys: str) -> None:
    execute_and_commit(connection, f"SELECT pg_advisory_lock({keys})")

    assert look_once(database, "leader").text.startswith("no relay leads")


def test_who_holds_the_lock_is_ended_only_as_long_as_he_is_the_same(database: str, connection: Connection) -> None:
    assert try_to_lead(connection)
    found = look_once(database, "leader")
    execute_and_commit(connection, "SET application_name = 'another'")

    follow(database, found)

    assert fetch(connection, "SELECT 1") == [(1,)]


def test_a_cursor_of_another_cluster_is_a_problem(database: str, connection: Connection) -> None:
    load(connection)
    execute_and_commit(connection, "UPDATE relay_cursor SET system_identifier = '42'")

    found = look_once(database, "cursor's PostgreSQL")

    assert (found.level, "belongs to the PostgreSQL cluster 42" in found.text) == ("problem", True)
    assert found.advice
    assert "herald relay --rebase" in found.advice


def test_a_database_no_relay_has_seen_is_a_note(database: str) -> None:
    assert look_once(database, "cursor's PostgreSQL").level == "note"
    assert look(database, "not published") == []


def test_a_backlog_that_nobody_publishes_is_a_problem(database: str, connection: Connection) -> None:
    load(connection)
    accepted(connection, notification(), notification())
    assert look_once(database, "not published").level == "ok"
    execute_and_commit(connection, "UPDATE relay_cursor SET saved_at = saved_at - interval '1 hour'")

    found = look_once(database, "not published")

    assert (found.level, found.text[:17]) == ("problem", "2 not published; ")
