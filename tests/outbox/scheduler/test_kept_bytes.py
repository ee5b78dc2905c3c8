"""What was accepted is kept byte for byte: over closings of the books, a rebuild, requests, requeues and a replay."""

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import msgspec
import pytest
from click.testing import CliRunner

from herald.outbox.message.dates import Dates
from herald.outbox.message.payload import MAX_DEPTH, check_json
from herald.outbox.moves.accept import Acceptance, make_acceptance
from herald.outbox.moves.decide import Edit, requeue
from herald.outbox.operate.rebuild.command import command as rebuild
from herald.outbox.operate.replay.replaying import Choice, find_span, read_rows
from herald.outbox.postgres.connections import read_clock
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.engine import make_engine
from herald.outbox.postgres.queries import events_of, find_message
from herald.outbox.postgres.statements import fetch, fetch_value
from herald.outbox.relay import cursor as cursors
from herald.outbox.relay.reader import Limits, Row, read_page
from herald.outbox.scheduler.due import request_due
from herald.outbox.scheduler.retention import close_books
from tests.outbox.connections import accepted, change, make_settings
from tests.outbox.scheduler.simulated_clock import id_at, long_ago, shift
from tests.outbox.scheduler.test_retention import RETENTION, THEN, WIDE, publish, settle
from tests.servers.eventually import eventually

LIMIT = 1_000_000  # bytes that a body may have
LIMITS = Limits(1_000, 100_000_000)
ODD = {
    "doubled keys, in their order, with spaces": b'{"b" :1,\t"a": 2,  "b": [ ] }',
    "a number of 131,072 digits": b'{"n": 1e131071, "m": 0.10000000000000000000000000000001, "z": 1.0, "y": -0}',
    "nested as deep as it may be": b'{"a": ' * (MAX_DEPTH - 1) + b"{}" + b"}" * (MAX_DEPTH - 1),
    "escapes and what needs none": b'{"\\u00e9": "\\ud83d\\ude00 \\/ \xc3\xa9 \\u007f", "\\"": "\\\\N \\t"}',
    "nearly a megabyte": json.dumps({"content": "né\\" * 90_000, "event": "large"}).encode(),
}
EDITED = b'{"edited" : 1e3 ,"edited":"\\u0041"}'
KINDS = ("pending", "scheduled", "dead", "edited")


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    with long_ago(database, THEN, retention=WIDE) as connection:
        yield connection


def made(connection: Connection, data: bytes, kind: str) -> Acceptance:
    check_json(data, max_bytes=LIMIT)
    at = read_clock(connection)
    dates = Dates(deliver_at=at + timedelta(days=30)) if kind == "scheduled" else Dates()
    return msgspec.structs.replace(make_acceptance("generic_topic", "k", data, dates=dates), id=id_at(at))


def close_twice(connection: Connection) -> None:
    """All of it is carried over, and what was carried is carried again."""
    shift(connection, timedelta(0))
    now = read_clock(connection)
    for at in (now, now + timedelta(hours=12)):
        due = at - timedelta(seconds=RETENTION)

        def is_closed() -> bool:
            publish(connection)
            close_books(connection, retention=RETENTION, at=at)  # noqa: B023 - called at once
            left = "SELECT count(*) FROM partitions, closing WHERE ends_at <= %s AND upper > horizon"
            return fetch(connection, left, due) == [(0,)]  # noqa: B023

        eventually(is_closed, 60, what="the books are closed")


def published_since(connection: Connection) -> list[Row]:
    """What the relay would publish now."""
    cursor, rows = cursors.load(connection), []
    while (page := read_page(connection, cursor, LIMITS)).rows or page.cursor.target is not None:
        rows += page.rows
        cursor = page.cursor
    return rows


def test_what_was_accepted_is_published_and_shown_byte_for_byte(
    connection: Connection, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected: dict[UUID, bytes] = {}
    kinds: dict[str, list[UUID]] = {kind: [] for kind in KINDS}
    for data in ODD.values():
        for kind in KINDS:
            (message,) = accepted(connection, made(connection, data, kind))
            kinds[kind].append(message)
            expected[message] = data
    for message in kinds["dead"] + kinds["edited"]:
        settle(connection, message, "dead")
    first = {row[0]: row[5] for row in published_since(connection) if row[2] == "message.requested"}
    assert first == {str(one): data.decode() for one, data in expected.items() if one not in kinds["scheduled"]}

    close_twice(connection)
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(rebuild, [], env={"DATABASE_URL": database}).exit_code == 0
    assert fetch_value(connection, "SELECT count(*) FROM outbox WHERE type = 'message.carried'") == len(expected)
    publish(connection)
    for message in kinds["edited"]:
        requeue(connection, [message], edit=Edit(msgspec.Raw(EDITED), "k"))
        expected[message] = EDITED
    requeue(connection, kinds["dead"])
    change(connection, "UPDATE messages SET due_at = clock_timestamp() WHERE status = 'scheduled'")
    request_due(connection, make_settings(database))

    again = published_since(connection)

    asked = [one for one in expected if one not in kinds["pending"]]
    assert {row[0]: row[5] for row in again} == {str(one): expected[one].decode() for one in asked}
    span, choice = find_span(connection), Choice("generic_topic", None, None)
    replayed = [row for rows in read_rows(connection, choice, span, limits=LIMITS) for row in rows]
    assert {row[0]: row[5] for row in replayed} == {row[0]: row[5] for row in again}
    with closing(make_engine(make_settings(database), "test").connect()) as reading:
        for message, data in expected.items():
            state = find_message(reading, message)
            assert state is not None
            assert bytes(state.data) == data
            assert any(data in bytes(event.data) for event in events_of(reading, message))
