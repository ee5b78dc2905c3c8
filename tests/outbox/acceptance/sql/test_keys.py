"""Idempotency keys by SQL."""

from time import monotonic

import pytest

from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import execute, fetch_value
from tests.outbox.acceptance.sql.callers import SEND, Caller, refusal, send

KEY = '{"idempotency_key": "order-7"}'
NOTIFY = "SELECT herald.notify('{ada,bob}', 'e', 'c', %s)::text"
MANY = """SELECT herald.send_many('[{"topic": "generic_topic", "data": {}, "options": {"idempotency_key": "a"}},
    {"topic": "generic_topic", "data": {}, "options": {"idempotency_key": "a"}}]')::text"""
AT_ONCE = 1.0  # seconds


@pytest.mark.parametrize(
    ("statement", "rows"), [(SEND.replace("%s, %s, %s, %s", "'generic_topic', '{}', NULL, %s"), 1), (NOTIFY, 2)]
)
def test_the_same_again_is_answered_as_before(
    connection: Connection, herald: Connection, statement: str, rows: int
) -> None:
    answers = set()
    for _ in range(3):
        answers.add(fetch_value(connection, statement, KEY))
        answers.add(fetch_value(connection, statement, KEY))
        connection.commit()

    assert len(answers) == 1
    assert fetch_value(herald, "SELECT count(*) FROM messages") == rows


def test_a_key_twice_in_one_call_sends_once(connection: Connection, herald: Connection) -> None:
    with connection.cursor() as cursor:
        cursor.execute(MANY)
        (first,), (second,) = cursor.fetchall()
    connection.commit()

    assert first == second
    assert fetch_value(herald, "SELECT count(*) FROM messages") == 1


def test_a_key_of_another_request_is_refused(connection: Connection) -> None:
    send(connection, options=KEY)
    connection.commit()

    error = refusal(connection, SEND, "generic_topic", '{"another": 1}', None, KEY)

    assert (error.pgcode, error.diag.column_name) == ("ZH422", "options.idempotency_key")


def test_a_key_in_use_elsewhere_is_refused_and_not_waited_for(caller: Caller, connection: Connection) -> None:
    with caller.connected() as first:
        message = send(first, options=KEY)
        begun = monotonic()

        error = refusal(connection, SEND, "generic_topic", "{}", None, KEY)

        assert (error.pgcode, monotonic() - begun < AT_ONCE) == ("ZH409", True)
        first.commit()
    assert send(connection, options=KEY) == message


def test_a_key_belongs_to_its_owner(connection: Connection, another: Caller) -> None:
    with another.connected() as other:
        assert send(connection, options=KEY) != send(other, options=KEY)


def test_a_key_that_a_snapshot_does_not_show_sends_nothing_twice(caller: Caller, connection: Connection) -> None:
    execute(connection, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    fetch_value(connection, "SELECT 1")
    with caller.connected() as first:
        send(first, options=KEY)
        first.commit()

    error = refusal(connection, SEND, "generic_topic", "{}", None, KEY)

    assert error.pgcode == "40001"
