"""A group is cancelled as one by SQL, in the caller's transaction."""

import json
from collections.abc import Sequence
from uuid import UUID

import pytest

from herald.outbox.moves.claim import Record, claim
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import execute, fetch, fetch_column, fetch_value
from tests.outbox.acceptance.sql.callers import CANCEL, Caller, refusal, send
from tests.outbox.connections import connected

NOTIFY = "SELECT herald.notify(%s, 'sale.began', 'Now', %s)::text"
STATUSES = "SELECT key, status FROM messages ORDER BY key"
FREE = "SELECT key FROM messages ORDER BY key FOR NO KEY UPDATE SKIP LOCKED"


def notified(connection: Connection, *users: str, **options: str) -> str:
    """What `notify` answers, committed."""
    answer = str(fetch_value(connection, NOTIFY, list(users), json.dumps(options)))
    connection.commit()
    return answer


def begun(database: str, users: Sequence[str]) -> None:
    """An attempt to deliver to each."""
    with connected(database) as worker:
        found = fetch_column(worker, "SELECT id::text FROM messages WHERE key = ANY (%s)", list(users))
        claim(worker, [Record(UUID(one), 1) for one in found], lease=60)
        worker.commit()


@pytest.mark.parametrize("level", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
@pytest.mark.parametrize("users", [["ada"], ["ada", "bob", "eve"]])
def test_what_notify_answers_is_cancelled_for_one_and_for_several(
    connection: Connection, herald: Connection, users: list[str], level: str
) -> None:
    answer = notified(connection, *users)
    execute(connection, f"SET TRANSACTION ISOLATION LEVEL {level}")

    assert [fetch_value(connection, CANCEL, answer) for _ in range(2)] == [True, True]
    connection.commit()

    assert fetch(herald, STATUSES) == [(user, "cancelled") for user in users]
    actor = fetch_value(connection, "SELECT 'sql:' || session_user")
    actors = "SELECT payload ->> 'actor' FROM outbox WHERE type = 'message.cancelled'"
    assert fetch_column(herald, actors) == [actor] * len(users)


def test_a_cancel_of_a_group_that_is_rolled_back_takes_nothing_back(connection: Connection, herald: Connection) -> None:
    group = notified(connection, "ada", "bob")

    fetch_value(connection, CANCEL, group)
    connection.rollback()

    assert fetch(herald, STATUSES) == [("ada", "pending"), ("bob", "pending")]


def test_of_a_group_half_way_the_rest_is_taken_back_and_what_stays_is_let_go_of_at_once(
    connection: Connection, database: str, herald: Connection
) -> None:
    group = notified(connection, "ada", "bob", "eve")
    begun(database, ["bob"])

    assert fetch_value(connection, CANCEL, group) is False

    assert fetch_column(herald, FREE) == ["bob"]
    connection.commit()
    assert fetch(herald, STATUSES) == [("ada", "cancelled"), ("bob", "sending"), ("eve", "cancelled")]


def test_what_others_hold_of_a_group_is_not_waited_for(connection: Connection, database: str) -> None:
    group = notified(connection, "ada", "bob", "eve")
    with connected(database) as holder:
        fetch(holder, "SELECT FROM messages WHERE key = 'bob' FOR NO KEY UPDATE")

        assert fetch_value(connection, CANCEL, group) is False

        connection.commit()
        assert fetch(holder, STATUSES) == [("ada", "cancelled"), ("bob", "pending"), ("eve", "cancelled")]
        holder.rollback()
    assert fetch_value(connection, CANCEL, group) is True
    connection.commit()


def test_a_group_of_which_one_moved_since_the_snapshot_stays_as_it_is(
    connection: Connection, database: str, herald: Connection
) -> None:
    group = notified(connection, "ada", "bob")
    execute(connection, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    fetch_value(connection, "SELECT 1")
    begun(database, ["bob"])

    assert fetch_value(connection, CANCEL, group) is False

    assert fetch_column(herald, FREE) == ["ada", "bob"]
    connection.commit()


def test_of_a_group_only_ones_own_is_cancelled_unless_an_operator_says_so(
    connection: Connection, another: Caller, herald: Connection
) -> None:
    group = notified(connection, "ada", "bob")
    with another.connected() as other:
        error = refusal(other, CANCEL, group)
        assert (error.pgcode, error.diag.column_name) == ("ZH403", "id")
        assert fetch(herald, STATUSES) == [("ada", "pending"), ("bob", "pending")]

        notified(other, "eve", group=group)
        assert fetch_value(connection, CANCEL, group) is False
        connection.commit()
        assert fetch(herald, STATUSES) == [("ada", "cancelled"), ("bob", "cancelled"), ("eve", "pending")]

        execute(herald, "INSERT INTO senders VALUES (%s, 'crm', NULL, 'any')", another.name)
        assert fetch_value(other, CANCEL, group) is True
        other.commit()


def test_what_was_sent_under_a_group_of_the_callers_own_is_cancelled_by_it(
    connection: Connection, herald: Connection
) -> None:
    group = "0a2b7c4e-0000-4000-8000-000000000007"
    for key in ("1", "2"):
        send(connection, key=key, options=json.dumps({"group": group}))
    connection.commit()

    assert fetch_value(connection, CANCEL, group) is True
    connection.commit()

    assert fetch(herald, STATUSES) == [("1", "cancelled"), ("2", "cancelled")]
