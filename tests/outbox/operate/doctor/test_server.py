"""What `herald doctor` says of a PostgreSQL server."""

import time
from contextlib import ExitStack, closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from herald.outbox.operate.doctor.server import clock
from herald.outbox.postgres.driver import connect_plainly
from tests.outbox.connections import connected, execute_and_commit
from tests.outbox.operate.doctor.findings import follow, look, look_once, subject
from tests.servers.eventually import eventually
from tests.servers.postgres import PostgresServer


@pytest.mark.parametrize("check", ["connection", "primary", "durability", "connections", "clock"])
def test_a_server_as_it_should_be_is_ok(safe: str, check: str) -> None:
    assert [finding.level for finding in look(safe, check)] == ["ok"]


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes"])
def test_a_server_that_forgets_at_a_power_cut_is_a_problem(
    safe: str, safe_server: PostgresServer, setting: str
) -> None:
    safe_server.execute(f"ALTER SYSTEM SET {setting} = off")
    safe_server.execute("SELECT pg_reload_conf()")

    found = eventually(lambda: [one for one in look(safe, "durability") if one.level == "problem"], 30.0)
    follow(safe, found[0])

    assert f"{setting} is off" in found[0].text
    eventually(lambda: look_once(safe, "durability").level == "ok", 30.0)


def test_a_synchronous_standby_that_is_not_there_is_a_problem(safe: str, safe_server: PostgresServer) -> None:
    safe_server.execute("ALTER SYSTEM SET synchronous_standby_names = 'ANY 2 (one, two, three)'")
    safe_server.execute("SELECT pg_reload_conf()")

    found = eventually(lambda: [one for one in look(safe, "durability") if one.level == "problem"], 30.0)
    follow(safe, found[0])

    assert "commits wait for 2 standby(s) of ANY 2 (one, two, three), 0 connected" in found[0].text
    eventually(lambda: look_once(safe, "durability").level == "ok", 30.0)


def test_a_role_that_does_not_wait_for_the_disk_is_a_note(safe: str) -> None:
    name = urlsplit(safe).path[1:]
    with connected(safe) as connection:
        execute_and_commit(connection, f"ALTER DATABASE {name} SET synchronous_commit = off")

    found = look(safe, "durability")

    assert [(one.level, one.text[:25]) for one in found] == [
        ("note", "synchronous_commit is off"),
        ("ok", "fsync and full_page_write"),
    ]


def test_a_database_that_is_read_only_is_a_problem(safe: str) -> None:
    name = urlsplit(safe).path[1:]
    with connected(safe) as connection:
        execute_and_commit(connection, f"ALTER DATABASE {name} SET default_transaction_read_only = on")

    found = look_once(safe, "primary")
    follow(safe, found)

    assert (found.level, "read-only by default" in found.text) == ("problem", True)
    assert look_once(safe, "primary").level == "ok"


def test_a_standby_is_a_problem_until_it_is_promoted(migrated_server: PostgresServer) -> None:
    migrated_server.stop()
    _become_standby(migrated_server)

    found = look_once(migrated_server.url(), "primary")
    follow(migrated_server.url(), found)

    assert (found.level, "a standby in recovery" in found.text) == ("problem", True)
    assert eventually(lambda: look_once(migrated_server.url(), "primary"), 30.0).level == "ok"


def _become_standby(server: PostgresServer) -> None:
    """Without a primary: it waits for WAL for ever, and answers."""
    Path(server.folder / "data" / "standby.signal").touch()
    server.start()


def test_more_connections_than_the_server_gives_are_a_problem(safe: str) -> None:
    found = look_once(safe, "connections", pool_size=125, api_processes=2)

    assert found.level == "problem"
    assert "of 197 connections of the server are open; one API, relay and pipeline use up to 389" in found.text
    assert found.advice
    assert "HERALD_POOL_SIZE (125)" in found.advice


def test_connections_that_run_out_are_a_warning(safe: str) -> None:
    with connected(safe) as connection:
        execute_and_commit(connection, "CREATE ROLE few LOGIN CONNECTION LIMIT 20")
    url = safe.replace("postgres@", "few@")
    with ExitStack() as stack:
        for _ in range(17):
            stack.enter_context(closing(connect_plainly(url)))

        found, of_server = look(url, "connections")

    with connected(safe) as connection:
        execute_and_commit(connection, "DROP ROLE few")
    said = "18 of 20 connections of the role are open; one API, relay and pipeline use up to 18"
    assert (found.level, found.text) == ("warning", said)
    assert of_server.level == "ok"


@pytest.mark.parametrize(("shift", "said"), [(90.0, "behind"), (-90.0, "ahead of")])
def test_a_clock_that_is_wrong_is_a_warning(safe: str, shift: float, said: str) -> None:
    with subject(safe) as database:
        (found,) = clock(database, here=lambda: time.time() + shift)

    assert found.level == "warning"
    assert f"s {said} this machine's" in found.text
    assert 89 < float(found.text.split("clock is ")[1].split(" s")[0]) < 91
