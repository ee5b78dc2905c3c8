"""Records as they arrive, and messages in the database for them to ask for."""

import json
from typing import Any
from uuid import UUID

import msgspec
import uuid_utils.compat

from herald.outbox.postgres.driver import Connection, connect_plainly
from herald.outbox.postgres.statements import execute, fetch
from herald.outbox.settings import Settings
from herald.pipeline.consume.record import Arrival, Headers

SOURCE = "/herald"
NOTIFICATION = {"user_id": "7", "event": "welcome", "content": "hello"}
NOW = 1_790_000_000_000  # ms
REACH = 2**45  # ms: all dates until the year 3084


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
            execute(
                connection,
                "INSERT INTO outbox (stream_id, version, type, topic, key, payload, headers)"
                " VALUES (%s, 1, 'message.requested', 'notifications', %s, %s, '{\"request\": 1}')",
                str(message),
                key,
                json.dumps(data),
            )
            execute(
                connection,
                "INSERT INTO messages (id, topic, key, data, status, version, request, attempts, requested_in,"
                " accepted_at, updated_at) VALUES (%s, 'notifications', %s, %s, 'pending', 1, 1, 0,"
                " pg_current_xact_id(), clock_timestamp(), clock_timestamp())",
                str(message),
                key,
                json.dumps(data),
            )


def rows(database: str, query: str) -> list[tuple[Any, ...]]:
    with opened(database) as connection:
        return fetch(connection, query)


def statuses(database: str) -> dict[UUID, str]:
    return {UUID(message): status for message, status in rows(database, "SELECT id::text, status FROM messages")}


def opened(database: str) -> Connection:
    """Commits at the end of its `with`."""
    return connect_plainly(database)
