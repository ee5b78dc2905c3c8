"""What `herald doctor` says of who stands in the way."""

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from herald.outbox.operate.doctor.finding import Finding
from herald.outbox.postgres.driver import Connection, connect_plainly
from herald.outbox.postgres.statements import fetch
from tests.outbox.connections import accepted, connected, execute_and_commit, notification
from tests.outbox.operate.doctor.findings import follow, look, look_once
from tests.servers.eventually import eventually
from tests.servers.postgres import PostgresServer

CHECKS = ["open transactions", "lock waits", "prepared transactions", "replication slots"]


@pytest.fixture
def connection(safe: str) -> Iterator[Connection]:
    with connected(safe) as connection:
        yield connection


@pytest.mark.parametrize("check", CHECKS)
def test_a_system_where_nobody_is_in_the_way_is_ok(safe: str, check: str) -> None:
    assert look_once(safe, check).level == "ok"


def test_an_old_transaction_is_named_with_what_it_keeps(safe: str, connection: Connection) -> None:
    connection.set_session(isolation_level="REPEATABLE READ")
    fetch(connection, "SELECT count(*) FROM messages")

    found = eventually(lambda: _trouble(look(safe, "open transactions", patience=0.1)))[0]
    follow(safe, found)

    assert found.level == "warning"
    assert f"pid {connection.info.backend_pid} (test, postgres, idle in transaction): " in found.text
    assert "it keeps what died in the last " in found.text
    assert "changes of messages" in found.text
    eventually(lambda: look_once(safe, "open transactions", patience=0.1).level == "ok")


def test_a_young_transaction_is_nobodys_business(safe: str, connection: Connection) -> None:
    fetch(connection, "SELECT count(*) FROM messages")

    assert look_once(safe, "open transactions").level == "ok"


def test_a_transaction_in_another_database_keeps_nothing_here(
    safe: str, safe_server: PostgresServer, connection: Connection
) -> None:
    with closing(connect_plainly(safe_server.url())) as elsewhere:
        fetch(elsewhere, "SELECT 1")
        fetch(connection, "SELECT 1")

        found = eventually(lambda: _trouble(look(safe, "open transactions", patience=0.1)))

    assert [one.text.split(" (")[0] for one in found] == [f"pid {connection.info.backend_pid}"]


def test_a_role_that_may_not_see_others_is_told_how(safe: str, safe_server: PostgresServer) -> None:
    with connected(safe) as connection:
        execute_and_commit(connection, "CREATE ROLE blind LOGIN; GRANT USAGE ON SCHEMA herald TO blind")
    try:
        (_, hidden) = look(safe.replace("postgres@", "blind@"), "open transactions")
        follow(safe, hidden)

        assert hidden.level == "note"
        assert [one.level for one in look(safe.replace("postgres@", "blind@"), "open transactions")] == ["ok"]
    finally:
        with connected(safe) as connection:
            execute_and_commit(connection, "DROP OWNED BY blind")
        safe_server.execute("DROP ROLE blind")


def test_who_waits_and_for_whom_is_named(safe: str, connection: Connection) -> None:
    fetch(connection, "SELECT count(*) FROM messages")
    holder = connection.info.backend_pid
    with connected(safe) as blocked:
        waiter = blocked.info.backend_pid
        waiting = threading.Thread(target=_alter, args=(blocked,), daemon=True)
        waiting.start()

        found = eventually(lambda: _trouble(look(safe, "lock waits")), 30.0)[0]
        follow(safe, found)

        waiting.join(30.0)
        assert not waiting.is_alive()

    assert found.level == "warning"
    assert f"pid {waiter} (test) waits " in found.text
    assert f"for AccessExclusiveLock on messages, behind pid {holder} (test, idle in transaction)" in found.text
    assert look_once(safe, "lock waits").level == "ok"


def _alter(connection: Connection) -> None:
    execute_and_commit(connection, "ALTER TABLE messages ADD COLUMN another integer")


def test_who_waits_for_a_row_is_named(safe: str, connection: Connection) -> None:
    accepted(connection, notification())
    fetch(connection, "SELECT 1 FROM messages FOR UPDATE")
    with connected(safe) as blocked:
        waiting = threading.Thread(
            target=execute_and_commit, args=(blocked, "SELECT 1 FROM messages FOR UPDATE"), daemon=True
        )
        waiting.start()

        found = eventually(lambda: _trouble(look(safe, "lock waits")), 30.0)[0]
        connection.rollback()

        waiting.join(30.0)

    assert f"for ShareLock on a row, behind pid {connection.info.backend_pid} (test" in found.text


def test_a_prepared_transaction_is_a_problem(safe: str, connection: Connection) -> None:
    connection.tpc_begin(connection.xid(1, "lost", "branch"))
    fetch(connection, "SELECT 1 FROM messages FOR UPDATE")
    connection.tpc_prepare()
    connection.close()

    found = eventually(lambda: _trouble(look(safe, "prepared transactions", patience=0.1)))[0]
    follow(safe, found)

    assert (found.level, " of postgres is prepared since " in found.text) == ("problem", True)
    assert look_once(safe, "prepared transactions", patience=0.1).level == "ok"


def test_a_slot_that_nobody_reads_is_a_warning(safe: str, connection: Connection) -> None:
    execute_and_commit(connection, "SELECT pg_create_physical_replication_slot('abandoned', true)")

    found = look_once(safe, "replication slots")
    follow(safe, found)

    assert (found.level, found.text.startswith("abandoned keeps ")) == ("warning", True)
    assert look_once(safe, "replication slots").level == "ok"


def _trouble(found: list[Finding]) -> list[Finding]:
    return [one for one in found if one.level != "ok"]
