"""A rebuild that is stopped, killed or cut off: nothing is changed, and the next one tidies up."""

import signal
from collections.abc import Iterator
from uuid import UUID

import pytest

from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch
from tests.conftest import StartHerald
from tests.outbox.connections import assert_projection_equals_log, connected, execute_and_commit
from tests.outbox.operate.rebuild.conftest import Rebuild
from tests.outbox.operate.rebuild.test_rebuild import EVERYTHING, SNAPSHOT
from tests.servers.eventually import eventually
from tests.servers.herald import HeraldProcess

STARTED = 60.0  # seconds
LEFT = "SELECT relname FROM pg_class WHERE relname ~ '_rebuilt$|_of_rebuild$' ORDER BY 1"
CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'herald-rebuild'"


@pytest.fixture
def held_up(database: str, start_herald: StartHerald, stored: list[UUID]) -> Iterator[HeraldProcess]:
    """A rebuild that has built its table and does not get the lock, because somebody reads `messages`."""
    with connected(database) as reader:
        assert fetch(reader, "SELECT count(*) FROM messages") == [(len(stored),)]
        process = start_herald("rebuild", DATABASE_URL=database)
        process.wait_for("swapping", STARTED)
        yield process


def test_sigterm_changes_nothing_and_leaves_nothing(connection: Connection, held_up: HeraldProcess) -> None:
    before = fetch(connection, SNAPSHOT)
    connection.rollback()

    assert held_up.stop(signal.SIGTERM) == 1

    held_up.wait_for("stopped: the partition at hand was not changed")
    assert fetch(connection, SNAPSHOT) == before
    assert fetch(connection, LEFT) == []


def test_a_killed_rebuild_changes_nothing_and_the_next_one_removes_what_it_left(
    connection: Connection, database: str, start_herald: StartHerald, stored: list[UUID], rebuild: Rebuild
) -> None:
    whole, before = fetch(connection, EVERYTHING), fetch(connection, SNAPSHOT)
    connection.rollback()
    with connected(database) as reader:
        fetch(reader, "SELECT count(*) FROM messages")
        process = start_herald("rebuild", DATABASE_URL=database)
        process.wait_for("swapping", STARTED)
        process.kill()
        here = "(SELECT oid FROM pg_database WHERE datname = current_database())"
        locks = f"SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND database = {here}"
        eventually(lambda: not fetch(reader, locks), 30)
    assert fetch(connection, SNAPSHOT) == before
    assert len(fetch(connection, LEFT)) == 2
    connection.rollback()

    done = rebuild()

    assert done.exit_code == 0, done.output
    assert fetch(connection, EVERYTHING) == whole
    assert assert_projection_equals_log(connection) == len(stored)


def test_a_lost_connection_is_a_sentence_and_changes_nothing(connection: Connection, held_up: HeraldProcess) -> None:
    before = fetch(connection, SNAPSHOT)

    execute_and_commit(connection, CUT)

    assert eventually(lambda: held_up.exit_code, 30) == 1
    held_up.wait_for("see `herald rebuild --check`")
    assert fetch(connection, SNAPSHOT) == before
