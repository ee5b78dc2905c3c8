"""Connections and messages for tests of the log."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any
from uuid import UUID

import msgspec

from herald.outbox.message import state
from herald.outbox.message.state import Message, evolve
from herald.outbox.moves.accept import Acceptance, accept, make_acceptance
from herald.outbox.postgres.connections import connect
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.log import read_log
from herald.outbox.postgres.statements import execute, fetch, fetch_column, fetch_value
from herald.outbox.settings import Settings


def make_settings(url: str, **others: Any) -> Settings:
    return Settings.model_validate({"DATABASE_URL": url, "group": "herald", **others})


@contextmanager
def connected(url: str, **settings: Any) -> Iterator[Connection]:
    with closing(connect(make_settings(url, **settings), "test")) as connection:
        yield connection


@contextmanager
def compared(url: str) -> Iterator[Connection]:
    """A connection; at the end all is committed, and every message compared with the fold of its events."""
    with connected(url) as connection:
        yield connection
        connection.commit()  # or there would be nothing to compare
        assert_projection_equals_log(connection)


def notification(user: str = "ada", content: str = "hello") -> Acceptance:
    data = msgspec.json.encode({"user_id": user, "event": "greeting", "content": content})
    return make_acceptance("notifications", user, data)


def accepted(connection: Connection, *acceptances: Acceptance) -> list[UUID]:
    accept(connection, acceptances)
    connection.commit()
    return [acceptance.id for acceptance in acceptances]


def execute_and_commit(connection: Connection, statement: str, *values: object) -> None:
    execute(connection, statement, *values)
    connection.commit()


def change(connection: Connection, statement: str, *values: Any) -> None:
    """Change `messages` behind Herald's back, and put the messages into the queues where they belong now."""
    execute_and_commit(connection, statement, *values)
    execute_and_commit(connection, "SELECT queues_follow(ARRAY(SELECT id FROM queue_differences))")


def status_of(connection: Connection, message_id: UUID) -> str:
    return str(fetch_value(connection, "SELECT status FROM messages WHERE id = %s", str(message_id)))


def types_of(connection: Connection, message_id: UUID) -> list[str]:
    names = fetch_column(connection, "SELECT type FROM outbox WHERE stream_id = %s ORDER BY version", str(message_id))
    return [str(name).removeprefix("message.") for name in names]


AS_TEXT = ("id", "requested_in", "group_id", "again_of")
COLUMNS = ", ".join(f"{name}::text" if name in AS_TEXT else name for name in state.COLUMNS)


def assert_projection_equals_log(connection: Connection) -> int:
    """Fold every stream and compare it with its row, column by column; returns how many there are."""
    folded: dict[UUID, Message] = {}
    for recorded in read_log(connection):
        folded[recorded.stream_id] = evolve(folded.get(recorded.stream_id), recorded)
    projected = {row[0]: row for row in fetch(connection, f"SELECT {COLUMNS} FROM messages")}
    assert len(projected) == len(folded)
    assert fetch(connection, "SELECT queue, id::text FROM queue_differences") == []
    connection.rollback()
    for stream_id, message in folded.items():
        columns = {name: getattr(message, name) for name in state.COLUMNS}
        expected = columns | {"id": str(stream_id), "requested_in": str(message.requested_in)}
        expected["group_id"] = message.group_id and str(message.group_id)
        expected["again_of"] = message.again_of and str(message.again_of)
        assert dict(zip(expected, projected[str(stream_id)], strict=True)) == expected
    return len(folded)
