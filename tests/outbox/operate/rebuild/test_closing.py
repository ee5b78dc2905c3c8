"""A rebuild and the closing of the books keep out of each other's way."""

from uuid import UUID

from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.locks import BOOKS, KEYS
from herald.outbox.postgres.statements import fetch
from herald.outbox.scheduler.retention import Retention
from tests.outbox.connections import assert_projection_equals_log, connected, execute_and_commit
from tests.outbox.operate.rebuild.conftest import Rebuild
from tests.outbox.operate.rebuild.test_rebuild import EVERYTHING

AHEAD = -3e9  # seconds of retention: every partition is due
STATE = "SELECT bound IS NULL, closed_at IS NULL FROM closing"
TRIGGERS = "SELECT tgname FROM pg_trigger WHERE tgname = 'closing_notes_changes'"


def test_the_books_stay_open_while_a_rebuild_goes_on(connection: Connection, database: str, stored: list[UUID]) -> None:
    with connected(database) as rebuilding, connected(database) as relay:
        relay.autocommit = True
        fetch(rebuilding, f"SELECT pg_advisory_lock({KEYS})", BOOKS)
        Retention(AHEAD).turn(relay)
        assert fetch(relay, STATE) == [(True, True)]

        fetch(rebuilding, f"SELECT pg_advisory_unlock({KEYS})", BOOKS)
        Retention(AHEAD).turn(relay)

        assert fetch(relay, STATE) != [(True, True)]
        assert fetch(relay, "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = %s", BOOKS) == []
        Retention(None).turn(relay)
    assert assert_projection_equals_log(connection) == len(stored)


def test_a_closing_that_is_half_done_is_given_up(connection: Connection, stored: list[UUID], rebuild: Rebuild) -> None:
    whole = fetch(connection, EVERYTHING)
    execute_and_commit(connection, "SELECT closing_begin('2100-01-01', 4)")
    assert fetch(connection, STATE) == [(False, True)]
    assert fetch(connection, TRIGGERS)
    connection.rollback()

    done = rebuild()

    assert done.exit_code == 0, done.output
    assert fetch(connection, STATE) == [(True, True)]
    assert fetch(connection, TRIGGERS) == []
    assert fetch(connection, EVERYTHING) == whole
    assert assert_projection_equals_log(connection) == len(stored)
