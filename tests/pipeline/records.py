"""Records as they arrive, and messages in the database for them to ask for."""

import json
from typing import Any
from uuid import UUID

import msgspec
import uuid_utils.compat

from herald.outbox.moves import accept as moves
from herald.outbox.moves import request_again as requesting
from herald.outbox.moves.request_again import Choice
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch
from herald.outbox.settings import Settings
from herald.pipeline.consume.record import Arrival, Headers
from tests.servers.postgres import connect_to_tables

SOURCE = "/herald"
NOTIFICATION = {"user_id": "7", "event": "welcome", "content": "hello"}
NOW = 1_790_000_000_000  # ms
LATEST = 2**45  # ms: all dates until the year 3084


def new_id() -> UUID:
    return uuid_utils.compat.uuid7()


def settings_for(database: str, **others: Any) -> Settings:
    return Settings(_env_file=None, DATABASE_URL=database, **others)


def own_headers(message: UUID, *, request: int = 1, version: int = 1, **others: bytes) -> list[tuple[str, bytes]]:
    """The headers that the relay writes."""
    named = {
        "ce_specversion": b"1.0",
        "ce_id": f"{message}.{version}".encode(),
        "ce_source": SOURCE.encode(),
        "ce_subject": str(message).encode(),
        "ce_request": str(request).encode(),
        **others,
    }
    return list(named.items())


def arrival(
    value: object = NOTIFICATION,
    *,
    key: bytes | None = b"7",
    headers: Headers = None,
    topic: str = "notifications",
    offset: int = 0,
    timestamp: int = NOW,
) -> Arrival:
    """A record; a value that is not bytes becomes JSON."""
    raw = value if isinstance(value, bytes | None) else msgspec.json.encode(value)
    return Arrival(raw, key, timestamp, headers, topic, 0, offset)


def own(message: UUID, value: object = NOTIFICATION, *, request: int = 1, key: bytes = b"7") -> Arrival:
    """A record that Herald's relay published for this message."""
    return arrival(value, key=key, headers=own_headers(message, request=request))


def accept(database: str, *messages: UUID, key: str = "7", data: object = NOTIFICATION) -> None:
    """What the API writes when it accepts a notification."""
    with opened(database) as connection:
        for message in messages:
            moves.accept(
                connection, [moves.Acceptance(message, "notifications", key, msgspec.Raw(json.dumps(data).encode()))]
            )


def request_again(database: str, *messages: UUID) -> None:
    """As the scheduler does with what is due."""
    query = "SELECT id, version FROM messages WHERE id = ANY (%(ids)s::uuid[]) LIMIT %(limit)s"
    choice = Choice(query, {"ids": [str(message) for message in messages]}, "'retry'")
    with opened(database) as connection:
        assert len(requesting.request_again(connection, choice, limit=len(messages))) == len(messages)


def rows(database: str, query: str) -> list[tuple[Any, ...]]:
    with opened(database) as connection:
        return fetch(connection, query)


def statuses(database: str) -> dict[UUID, str]:
    return {UUID(message): status for message, status in rows(database, "SELECT id::text, status FROM messages")}


def opened(database: str) -> Connection:
    """Commits at the end of its `with`."""
    return connect_to_tables(database)
