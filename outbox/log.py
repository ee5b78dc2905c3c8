"""The log, read back as typed events."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import msgspec
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class with a lower-case name

from outbox.events import TYPES, Recorded, Requested

_COLUMNS = "stream_id::text, version, type, topic, key, payload, headers, transaction_id::text, recorded_at"


class UnknownEventError(Exception):
    """The log holds an event type that this release does not know."""


def read_stream(connection: Connection, stream_id: UUID) -> list[Recorded]:
    """The events of one message, oldest first; empty when there are none."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {_COLUMNS} FROM outbox WHERE stream_id = %s ORDER BY version", (str(stream_id),))
        return [decode(row) for row in cursor]


def read_log(connection: Connection) -> Iterator[Recorded]:
    """Every event, stream by stream, oldest first within each; fetched in batches on the server's side."""
    with connection.cursor(name="log") as cursor:
        cursor.execute(f"SELECT {_COLUMNS} FROM outbox ORDER BY stream_id, version")
        for row in cursor:
            yield decode(row)


def decode(row: tuple[Any, ...]) -> Recorded:
    """A stored row as an event. Raises UnknownEventError."""
    stream_id, version, event_type, topic, key, payload, headers, transaction_id, recorded_at = row
    kind = TYPES.get(event_type)
    if kind is None:
        message = f"{stream_id}.{version} is a {event_type}, which this release does not know"
        raise UnknownEventError(message)
    fields = {"topic": topic, "key": key, "data": payload} if kind is Requested else payload
    return Recorded(
        stream_id=UUID(stream_id),
        version=version,
        event=msgspec.convert({**fields, **headers}, kind),
        transaction_id=int(transaction_id),
        recorded_at=recorded_at,
    )
