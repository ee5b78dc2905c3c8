"""What commits is accepted, what is rolled back never was."""

import json
from contextlib import closing
from uuid import UUID, uuid4

import pytest

from herald.outbox.postgres.driver import Connection, connect_plainly
from herald.outbox.postgres.statements import execute, fetch, fetch_column, fetch_one, fetch_value
from tests.outbox.acceptance.sql.callers import Caller, refusal, send
from tests.outbox.connections import types_of

LEVELS = ("READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")
EVENTS = "SELECT count(*) FROM outbox"
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
CAUGHT = """
DO $$ BEGIN
    PERFORM herald.send('generic_topic', '{"kept": false}');
    RAISE EXCEPTION 'of the caller';
EXCEPTION WHEN raise_exception THEN
    PERFORM herald.send('generic_topic', '{"kept": true}');
END $$
"""
TRIGGER = """
CREATE TABLE orders (id integer PRIMARY KEY, customer text NOT NULL);
CREATE FUNCTION order_placed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM herald.notify(ARRAY[NEW.customer], 'order.placed', format('Order %s is placed.', NEW.id));
    RETURN NULL;
END $$;
CREATE TRIGGER order_placed AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION order_placed();
GRANT INSERT ON orders TO PUBLIC;
"""


def begin(connection: Connection, level: str) -> None:
    execute(connection, f"SET TRANSACTION ISOLATION LEVEL {level}")


@pytest.mark.parametrize("level", LEVELS)
def test_what_commits_is_in_the_log_as_it_was_given(connection: Connection, herald: Connection, level: str) -> None:
    data = '{"total": 1.10, "b": 1e400, "a": "\\u00e9", "a": 12345678901234567890.123456789}'
    begin(connection, level)
    message = send(connection, data, key="order-7", options=json.dumps({"traceparent": TRACE, "priority": 9}))
    assert fetch_value(herald, EVENTS) == 0

    connection.commit()

    row = fetch_one(herald, "SELECT stream_id::text, type, topic, key, data::text, payload ->> 'actor' FROM outbox")
    user = fetch_value(connection, "SELECT session_user::text")
    assert row == (message, "message.requested", "generic_topic", "order-7", data, f"sql:{user}")
    state = "SELECT status, priority, traceparent, actor FROM messages"
    assert fetch_one(herald, state) == ("pending", 9, TRACE, f"sql:{user}")


@pytest.mark.parametrize("level", LEVELS)
def test_what_is_rolled_back_was_never_sent(connection: Connection, herald: Connection, level: str) -> None:
    begin(connection, level)
    send(connection, key="gone", options='{"idempotency_key": "once"}')
    connection.rollback()
    begin(connection, level)
    kept = send(connection, key="kept")
    execute(connection, "SAVEPOINT before")
    send(connection, key="gone", options='{"idempotency_key": "once"}')
    execute(connection, "ROLLBACK TO before")
    again = send(connection, key="again", options='{"idempotency_key": "once"}')
    execute(connection, CAUGHT)
    connection.commit()

    assert fetch_column(herald, "SELECT key FROM messages ORDER BY id") == ["kept", "again", None]
    assert fetch_column(herald, "SELECT data ->> 'kept' FROM outbox WHERE key IS NULL") == ["true"]
    assert fetch_value(herald, EVENTS) == 3
    assert kept != again


@pytest.mark.parametrize(("end", "messages"), [("COMMIT", 1), ("ROLLBACK", 0)])
def test_a_prepared_transaction_sends_when_it_is_committed(
    caller: Caller, herald: Connection, end: str, messages: int
) -> None:
    name = uuid4().hex
    with caller.connected() as connection:
        send(connection, options='{"idempotency_key": "prepared"}')
        execute(connection, f"PREPARE TRANSACTION '{name}'")
    with caller.connected() as connection:
        assert fetch_value(herald, EVENTS) == 0
        assert refusal(
            connection, "SELECT herald.send('generic_topic', '{}', NULL, '{\"idempotency_key\":\"prepared\"}')"
        )
        connection.autocommit = True
        execute(connection, f"{end} PREPARED '{name}'")

    assert fetch_value(herald, EVENTS) == messages


def test_a_trigger_of_a_callers_own_table_sends(database: str, connection: Connection, herald: Connection) -> None:
    with closing(connect_plainly(database)) as owner, owner:
        execute(owner, TRIGGER)

    execute(connection, "INSERT INTO orders VALUES (1, 'ada'), (2, 'bob')")
    connection.commit()
    execute(connection, "INSERT INTO orders VALUES (3, 'eve')")
    connection.rollback()

    assert fetch(herald, "SELECT user_id, event, content, status FROM notifications ORDER BY id") == [
        ("ada", "order.placed", "Order 1 is placed.", "pending"),
        ("bob", "order.placed", "Order 2 is placed.", "pending"),
    ]


def test_a_notification_for_several_users_has_a_group(connection: Connection, herald: Connection) -> None:
    options = json.dumps({"channel": "email", "subject": "Sale", "priority": 3, "actor": "alice"})
    group = fetch_value(connection, "SELECT herald.notify('{ada,bob}', 'sale', 'Now', %s)::text", options)
    alone = fetch_value(connection, "SELECT herald.notify('{eve}', 'sale', 'Now')::text")
    connection.commit()

    rows = fetch(herald, "SELECT key, group_id::text, priority, id::text FROM messages ORDER BY id")
    assert [row[:3] for row in rows] == [("ada", group, 3), ("bob", group, 3), ("eve", None, 5)]
    assert rows[2][3] == alone
    found = fetch_column(herald, "SELECT data::text FROM outbox ORDER BY stream_id")
    assert (
        found[0] == '{"user_id":"ada","event":"sale","content":"Now","channel":"email","subject":"Sale","priority":3}'
    )
    payloads = fetch(herald, "SELECT payload ->> 'group_id', payload ->> 'on_behalf_of' FROM outbox ORDER BY stream_id")
    assert payloads == [(group, "alice"), (group, "alice"), (None, None)]


def test_many_are_sent_in_order_or_not_at_all(connection: Connection, herald: Connection) -> None:
    many = [{"topic": "generic_topic", "data": {"n": n}, "key": "k", "options": {"priority": 1}} for n in range(50)]
    statement = "SELECT herald.send_many(%s)::text"
    ids = fetch_column(connection, statement, json.dumps(many))
    connection.commit()

    error = refusal(connection, statement, json.dumps([*many, {"topic": "generic_topic", "data": 1}]))

    assert (error.pgcode, error.diag.column_name) == ("ZH400", "messages[50].data")
    stored = fetch(herald, "SELECT stream_id::text, (data ->> 'n')::int FROM outbox ORDER BY position")
    assert stored == list(zip(ids, range(50), strict=True))
    assert ids == sorted(ids, key=UUID)


def test_a_traceparent_that_is_none_is_ignored_however_long(connection: Connection, herald: Connection) -> None:
    send(connection, options=json.dumps({"traceparent": "x" * 1001}))
    connection.commit()

    assert fetch_value(herald, "SELECT traceparent FROM messages") is None


def test_a_date_is_waited_for(connection: Connection, herald: Connection) -> None:
    later = fetch_value(connection, "SELECT to_json(clock_timestamp() + interval '1 day')::text")
    options = f'{{"deliver_at": {later}}}'
    message = send(connection, options=options)
    connection.commit()

    assert types_of(herald, UUID(message)) == ["scheduled"]
    assert fetch_one(herald, "SELECT status, due_at = %s::timestamptz FROM messages", json.loads(later)) == (
        "scheduled",
        True,
    )


@pytest.mark.parametrize(
    "setting",
    ["standard_conforming_strings = off", "search_path = ''", "timezone = 'Asia/Tokyo'", "datestyle = 'SQL, DMY'"],
)
def test_a_callers_own_settings_change_nothing(connection: Connection, herald: Connection, setting: str) -> None:
    execute(connection, f"SET {setting}")
    data = '{"a": "\\\\[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\" 1e5"}'
    send(connection, data)
    fetch_value(connection, "SELECT herald.notify('{ada}', 'e', 'c', '{\"idempotency_key\": \"one\"}')")
    connection.commit()

    assert fetch_value(herald, EVENTS) == 2


def test_each_call_draws_once_and_nothing_else_is_heard(connection: Connection, herald: Connection) -> None:
    drawn = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM sends"
    before = fetch_value(herald, drawn)

    send(connection)
    fetch_value(connection, "SELECT herald.notify('{ada,bob}', 'e', 'c')")
    fetch(connection, 'SELECT herald.send_many(\'[{"topic": "generic_topic", "data": {}}]\')')

    assert fetch_value(herald, drawn) == before + 3
    modes = "SELECT DISTINCT mode FROM pg_locks WHERE pid = %s AND locktype = 'relation' ORDER BY mode"
    held = fetch_column(herald, modes, connection.info.backend_pid)
    assert held == ["AccessShareLock", "RowExclusiveLock"]
    connection.commit()
