"""Cancelling by SQL: nobody is waited for."""

from time import monotonic
from uuid import uuid4

import pytest

from herald.outbox.moves.claim import Record, claim
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import execute, fetch, fetch_value
from tests.outbox.acceptance.sql.callers import CANCEL, Caller, refusal, send
from tests.outbox.connections import accepted, connected, notification

AT_ONCE = 1.0  # seconds


@pytest.mark.parametrize("level", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
def test_what_was_not_tried_is_taken_back(connection: Connection, herald: Connection, level: str) -> None:
    message = send(connection)
    connection.commit()
    execute(connection, f"SET TRANSACTION ISOLATION LEVEL {level}")

    assert [fetch_value(connection, CANCEL, message) for _ in range(2)] == [True, True]
    assert fetch_value(connection, CANCEL, send(connection)) is True
    connection.commit()

    actor = fetch_value(connection, "SELECT 'sql:' || session_user")
    last = "SELECT type, payload ->> 'actor' FROM outbox WHERE stream_id = %s AND version = 2"
    assert fetch(herald, last, message) == [("message.cancelled", actor)]
    assert fetch(herald, "SELECT DISTINCT status FROM messages") == [("cancelled",)]


def test_a_cancel_that_is_rolled_back_takes_nothing_back(connection: Connection, herald: Connection) -> None:
    message = send(connection)
    connection.commit()

    fetch_value(connection, CANCEL, message)
    connection.rollback()

    assert fetch_value(herald, "SELECT status FROM messages") == "pending"


def test_a_held_row_is_not_waited_for(connection: Connection, database: str) -> None:
    message = send(connection)
    connection.commit()
    with connected(database) as holder:
        fetch(holder, "SELECT FROM messages FOR NO KEY UPDATE")
        begun = monotonic()

        assert fetch_value(connection, CANCEL, message) is False

        assert monotonic() - begun < AT_ONCE
        holder.rollback()
    assert fetch_value(connection, CANCEL, message) is True
    connection.commit()


def test_what_stays_is_let_go_of_at_once(connection: Connection, database: str) -> None:
    message = send(connection)
    connection.commit()
    with connected(database) as worker:
        (held,) = accepted(worker, notification())
        claim(worker, [Record(held, 1)], lease=60)
        execute(worker, "UPDATE messages SET actor = (SELECT actor FROM messages WHERE id = %s)", message)
        worker.commit()

        assert fetch_value(connection, CANCEL, str(held)) is False

        assert len(fetch(worker, "SELECT FROM messages WHERE id = %s FOR UPDATE NOWAIT", str(held))) == 1
        execute(worker, "UPDATE messages SET actor = NULL WHERE id = %s", str(held))
        worker.commit()
    assert fetch_value(connection, CANCEL, str(uuid4())) is False


def test_what_moved_since_the_snapshot_stays(connection: Connection, database: str) -> None:
    message = send(connection)
    connection.commit()
    execute(connection, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    fetch_value(connection, "SELECT 1")
    with connected(database) as worker:
        claim(worker, [Record(message, 1)], lease=60)  # type: ignore[arg-type]
        worker.commit()

    assert fetch_value(connection, CANCEL, message) is False
    connection.commit()


def test_only_what_is_ones_own_unless_an_operator_says_so(
    connection: Connection, another: Caller, herald: Connection
) -> None:
    message = send(connection)
    connection.commit()
    with another.connected() as other:
        error = refusal(other, CANCEL, message)
        assert (error.pgcode, error.diag.column_name) == ("ZH403", "id")

        execute(herald, "INSERT INTO senders VALUES (%s, 'crm', NULL, 'any')", another.name)

        assert fetch_value(other, CANCEL, message) is True
        other.commit()


def test_an_owner_outlives_its_logins(caller: Caller, another: Caller, herald: Connection) -> None:
    for one in (caller, another):
        execute(herald, "INSERT INTO senders (login, owner) VALUES (%s, 'shop')", one.name)
    with caller.connected() as old, another.connected() as new:
        message = send(old, options='{"idempotency_key": "once"}')
        old.commit()

        assert send(new, options='{"idempotency_key": "once"}') == message
        assert fetch_value(new, CANCEL, message) is True
        new.commit()
