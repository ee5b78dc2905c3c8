"""What HTTP refuses SQL refuses, and the other way round: one table of inputs, run through both."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest

from herald.outbox.postgres.driver import Connection, PostgresError
from herald.outbox.postgres.statements import fetch_column, fetch_value
from tests.api.conftest import MAIL, Client, make_client
from tests.outbox.acceptance.sql.callers import SEND, Caller, refusal, status_of
from tests.outbox.connections import connected, execute_and_commit

NOW = datetime.now(UTC).replace(microsecond=0)
SOON, LATER, FAR = ((NOW + timedelta(days=days)).isoformat() for days in (1, 2, 400))
WORDS = '"user_id": "ada", "event": "e", "content": "c"'


class Input(NamedTuple):
    data: str
    topic: str = "generic_topic"
    key: str | None = None
    options: dict[str, Any] = {}  # noqa: RUF012


def noted(fields: str = "", *, words: str = WORDS) -> Input:
    """A notification, with more fields."""
    return Input(f"{{{words}{', ' if fields and words else ''}{fields}}}", "notifications")


GENERIC = [
    *map(Input, ("{}", "[]", "1", '"a"', "null", "true", ' { "a" : 1 } ', '{"a": 1, "a": 2}')),
    *map(
        Input,
        ('{"a": "\\u0000"}', '{"\\u0000": 1}', '{"a": "\\\\u0000"}', '{"a": "\\ud800"}', '{"a": "\\ud83d\\ude00"}'),
    ),
    *map(Input, ('{"a": 1e400}', '{"a": 1e131071}', '{"a": 1e131072}', '{"a": 1e-16383}', '{"a": 1e-16384}')),
    *map(
        Input,
        ('{"a": 1e1073741824}', '{"a": 0e99999}', '{"a": "1e131072"}', f'{{"a": [{",".join(["1e131071"] * 20)}]}}'),
    ),
    *map(Input, (f'{{"a": {"9" * 20000}}}', f'{{"a": 0.{"9" * 16384}}}', f'{{"a": [{",".join(["1E+3"] * 5)}]}}')),
    *(Input("[" * n + "]" * n) for n in (1,)),
    *(Input('{"a":' * n + "1" + "}" * n) for n in (30, 31, 32, 33, 200)),
    Input('{"a": "' + "[{" * 40 + '\\"[["}'),
    Input('{"a": "' + "x" * 2_097_000 + '"}'),
    Input('{"a": "' + "x" * 2_097_152 + '"}'),
    *(Input("{}", topic) for topic in ("no_such", "", "x" * 300, "dead_letters")),
    *(Input("{}", key=key) for key in ("", "k", "ä" * 255, "ä" * 256, " ")),
    *(Input("{}", options={"priority": value}) for value in (0, 9, 10, -1, 5.5, "5", True, None)),
    *(Input("{}", options={"deliver_by": date}) for date in (SOON, FAR, NOW.isoformat(), "2001-01-01T00:00:00Z")),
    Input("{}", options={"deliver_at": SOON, "deliver_by": LATER}),
    Input("{}", options={"deliver_at": LATER, "deliver_by": SOON}),
    Input("{}", options={"deliver_at": SOON, "deliver_by": SOON}),
]
DATES = [
    *("2001-01-01T00:00:00Z", "2001-01-01t00:00:00z", "2001-01-01 00:00:00+01:00", "2001-01-01T00:00:00+0100"),
    *(
        "2001-01-01T00:00:00+01",
        "2001-01-01T00:00Z",
        "2001-01-01T24:00:00Z",
        "2001-01-01T23:59:60Z",
        "2001-02-30T00:00:00Z",
    ),
    *("2001-01-01T00:00:00.1234567891Z", "2001-01-01T00:00:00,5Z", "2001-01-01T00:00:00.Z", "2001-01-01", "", "now"),
    *("2001-01-01T00:00:00", "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+01:00", "0001-01-01T00:00:00Z", "infinity"),
    *(
        "2001-01-01T00:00:00-00:00",
        "2001-01-01T00:00:00+15:59",
        "2001-01-01T00:00:00+16:00",
        "2001-01-01T00:00:00+23:59",
    ),
    *(
        "2001-01-01T00:00:00+24:00",
        " 2001-01-01T00:00:00Z",
        "12001-01-01T00:00:00Z",
        "9999-12-31T23:59:59-01:00",
        FAR,
        SOON,
    ),
]
NOTIFICATIONS = [
    noted(),
    *(noted(f'"user_id": {user}') for user in ("1", "-5", "-0", "1.0", "1e2", "0", "true", "null", '""', "[]", "{}")),
    *(noted(f'"user_id": {user}') for user in ("9" * 255, "9" * 256, json.dumps("ä" * 255), json.dumps("ä" * 256))),
    *(
        noted(f'"{name}": {value}')
        for name in ("event", "content", "channel", "address", "subject")
        for value in ("null", '""', "1", "[]", "{}", "true")
    ),
    *(
        noted(f'"priority": {value}')
        for value in ("0", "9", "10", "-1", "-0", "5.0", "1e0", "5.5", '"5"', "null", "true", "[]")
    ),
    *(
        noted(words=words)
        for words in ("", '"user_id": "a"', '"user_id": "a", "event": "e"', '"event": "e", "content": "c"')
    ),
    noted('"stray": 1'),
    noted('"channel": "log"'),
    noted('"channel": "no_such"'),
    noted(f'"channel": "{"x" * 256}"'),
    noted('"channel": "email", "address": "ada@example.com", "subject": "Hello"'),
    noted('"subject": "a\\tb"'),
    noted('"subject": "a\\u0085b"'),
    noted('"subject": "a\\u2028b"'),
    noted('"subject": "\\u00e4 \\u2603"'),
    noted('"event": "' + "e" * 255 + '"'),
    noted('"event": "' + "e" * 256 + '"'),
    noted('"content": "' + "c" * 1_000_000 + '"'),
    noted('"content": "' + "c" * 1_000_001 + '"'),
    noted('"content": "\\u0000"'),
    noted('"content": "\\u0001\\u007f\\"\\\\ \\b\\f\\n\\r\\t / \\u00e9 \\ud83d\\ude00"'),
    noted('"address": "' + "a" * 2049 + '"'),
    noted(f'"deliver_at": "{LATER}", "deliver_by": "{SOON}"'),
    *(noted(f'"deliver_at": {json.dumps(date)}') for date in DATES),
    *(Input("{}", options={"deliver_at": date}) for date in DATES),
    noted()._replace(key="ada"),
    noted()._replace(key="bob"),
    noted()._replace(options={"priority": 5}),
]


@pytest.fixture
def client(database: str) -> Iterator[Client]:
    with make_client(database, **MAIL) as client:
        yield client


def by_http(client: Client, given: Input) -> int:
    fields = {"topic": given.topic, "key": given.key, **given.options}
    body = json.dumps(fields)[:-1] + f', "data": {given.data}}}'
    return client.post("/messages", content=body.encode(), headers={"content-type": "application/json"}).status_code


def by_sql(connection: Connection, given: Input) -> int:
    """The status that the SQLSTATE names; what is no JSON at all PostgreSQL refuses itself."""
    try:
        fetch_value(connection, SEND, given.topic, given.data, given.key, json.dumps(given.options))
    except PostgresError as error:
        connection.rollback()
        return status_of(error)
    connection.commit()
    return 202


def test_what_http_refuses_sql_refuses_and_both_store_the_same(
    client: Client, connection: Connection, herald: Connection
) -> None:
    differing = []
    for given in GENERIC + NOTIFICATIONS:
        found = by_http(client, given), by_sql(connection, given)
        if found[0] != found[1]:
            differing.append((found, str(given)[:150]))
        elif found[0] == 202 and "deliver" not in given.data:
            first, second = fetch_column(herald, "SELECT data::text FROM outbox ORDER BY position DESC LIMIT 2")
            assert first == second, str(given)[:150]

    assert differing == []
    columns = "topic, key, status, priority, due_at, deliver_by, event"
    counts = f"SELECT count(*) FROM messages GROUP BY {columns} HAVING count(*) % 2 = 1"
    assert fetch_column(herald, counts) == []


@pytest.mark.parametrize(
    ("call", "code", "field"),
    [
        ("notify('{}', 'e', 'c')", "ZH400", "user_ids"),
        ("notify(NULL, 'e', 'c')", "ZH400", "user_ids"),
        ("notify('{a,a}', 'e', 'c')", "ZH400", "user_ids"),
        ("notify('{a,NULL}', 'e', 'c')", "ZH400", "user_ids[2]"),
        ("notify(ARRAY(SELECT n::text FROM generate_series(1, 1001) AS n), 'e', 'c')", "ZH400", "user_ids"),
        ("notify('{{a},{b}}', 'e', 'c')", "ZH400", "user_ids"),
        ("notify('{a}', NULL, 'c')", "ZH400", "event"),
        ("notify('{a}', 'e', '')", "ZH400", "content"),
        ("notify('{a}', 'e', repeat('ä', 1000000) || 'x')", "ZH400", "content"),
        ("notify('{a}', 'e', repeat('☃', 800000))", "ZH413", "content"),
        ("notify('{a,b,c,d,e,f,g,h,i,j}', 'e', repeat('ä', 1000000))", "ZH413", "user_ids"),
        ("notify('{a}', 'e', 'c', '{\"channel\": \"x\"}')", "ZH400", "options.channel"),
        ("notify('{a}', 'e', 'c', '{\"stray\": 1}')", "ZH400", "options.stray"),
        ("notify('{a}', 'e', 'c', '{\"group\": \"x\"}')", "ZH400", "options.group"),
        ("notify('{a}', 'e', 'c', '[]')", "ZH400", "options"),
        ("notify('{a}', 'e', 'c', '{\"idempotency_key\": \"\"}')", "ZH400", "options.idempotency_key"),
        ("notify('{a}', 'e', 'c', '{\"idempotency_key\": 1}')", "ZH400", "options.idempotency_key"),
        ("notify('{a}', 'e', 'c', '{\"actor\": \"\"}')", "ZH400", "options.actor"),
        ("send(NULL, '{}')", "ZH400", "topic"),
        ("send('generic_topic', NULL)", "ZH400", "data"),
        ("send('generic_topic', '{}', options => '{\"channel\": \"log\"}')", "ZH400", "options.channel"),
        ("send_many('{}')", "ZH400", "messages"),
        ("send_many('[]')", "ZH400", "messages"),
        ("send_many('[1]')", "ZH400", "messages[0]"),
        ("send_many('[{}]')", "ZH400", "messages[0].topic"),
        ('send_many(\'[{"topic": "generic_topic", "data": {}, "x": 1}]\')', "ZH400", "messages[0].x"),
        ('send_many(\'[{"topic": 1, "data": {}}]\')', "ZH400", "messages[0].topic"),
        ('send_many(\'[{"topic": "generic_topic"}]\')', "ZH400", "messages[0].data"),
        ('send_many(\'[{"topic": "generic_topic", "data": {"a": "\\u0000"}}]\')', "ZH400", "messages[0]"),
        ('send_many(\'[{"topic": "generic_topic", "data": {}, "key": "\\ud800"}]\')', "ZH400", "messages[0]"),
        ('send_many(\'[{"topic": "generic_topic", "data": {"a": 1e131072}}]\')', "ZH400", "messages[0].data"),
        (f"send('generic_topic', '{{}}', options => '{{\"{'k' * 300}\": 1}}')", "ZH400", f"options.{'k' * 255}"),
        (
            'send_many(\'[{"topic": "generic_topic", "data": {}, "options": {"priority": 10}}]\')',
            "ZH400",
            "messages[0].options.priority",
        ),
    ],
)
def test_a_refusal_names_the_field(connection: Connection, call: str, code: str, field: str) -> None:
    error = refusal(connection, f"SELECT herald.{call}")

    assert (error.pgcode, error.diag.column_name) == (code, field), error


def test_an_operator_says_on_which_topics(caller: Caller, connection: Connection, database: str) -> None:
    with connected(database) as operator:
        execute_and_commit(operator, "INSERT INTO senders VALUES (%s, 'shop', '{notifications}')", caller.name)

    error = refusal(connection, SEND, "generic_topic", "{}", None, None)

    assert (error.pgcode, error.diag.column_name) == ("ZH403", "topic")
    fetch_value(connection, "SELECT herald.notify('{ada}', 'e', 'c')")
