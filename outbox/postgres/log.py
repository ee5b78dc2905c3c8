"""The log, read back as typed events."""

from collections.abc import Iterator
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from herald.outbox.message.events import TYPES, Event, Recorded, Requested
from herald.outbox.message.upcasting import Fields, upcast
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch, stream

LOG_COLUMNS = (
    "stream_id::text, version, type, schema, topic, key, data::text, payload::text, transaction_id::text,"
    " CASE WHEN recorded_at BETWEEN '0001-01-02 UTC' AND '9999-12-30 UTC' THEN recorded_at END AS recorded_at"
)

# What the message `m` carries; null where that event is lost, which ends no list.
DATA = "coalesce((SELECT d.data FROM outbox AS d WHERE d.stream_id = m.id AND d.version = m.data_version), 'null')"
PIECE = 2_000  # rows of the log that are fetched at once


class UnknownEventError(Exception):
    """The log holds a type or a schema of events that this release does not know."""


class Stored(NamedTuple):
    """A row of the log as LOG_COLUMNS reads it; JSON is text, so that no number is rounded.

    `recorded_at` is None where Python has no such date: somebody else wrote the row.
    """

    stream_id: str
    version: int
    type: str
    schema: int
    topic: str | None
    key: str | None
    data: str | None
    payload: str
    transaction_id: str
    recorded_at: Any


_decode_fields = msgspec.json.Decoder(dict[str, Any]).decode


def read_stream(connection: Connection, stream_id: UUID) -> list[Recorded]:
    """The events of one message, oldest first; empty when there are none. Raises UnknownEventError."""
    query = f"SELECT {LOG_COLUMNS} FROM outbox WHERE stream_id = %s ORDER BY version"
    return [decode(row) for row in fetch(connection, query, str(stream_id))]


def read_log(connection: Connection) -> Iterator[Recorded]:
    """Every event, stream by stream, oldest first within each; fetched in batches on the server's side."""
    # sorted as they are stored: as text, the large ones of a log would be written to temporary files
    stored = "SELECT * FROM outbox ORDER BY stream_id, version OFFSET 0"
    query = f"SELECT {LOG_COLUMNS} FROM ({stored}) AS stored"
    yield from map(decode, stream(connection, query, name="log", piece=PIECE))


def decode(row: tuple[Any, ...]) -> Recorded:
    """A stored row as an event of the present schema. Raises UnknownEventError."""
    stored = Stored(*row)
    kind = TYPES.get(stored.type)
    if kind is None or stored.schema > kind.SCHEMA:
        raise _unknown(stored)
    if stored.recorded_at is None:
        message = f"{stored.stream_id}.{stored.version} has a date that no event has"
        raise UnknownEventError(message)
    return Recorded(
        stream_id=UUID(stored.stream_id),
        version=stored.version,
        event=msgspec.convert(_present_fields(stored, kind), kind),
        transaction_id=int(stored.transaction_id),
        recorded_at=stored.recorded_at,
    )


def _present_fields(stored: Stored, kind: type[Event]) -> Fields:
    fields = _stored_fields(stored, kind)
    try:
        return upcast(stored.type, stored.schema, fields)
    except KeyError:
        raise _unknown(stored) from None


def _stored_fields(stored: Stored, kind: type[Event]) -> Fields:
    """What is published has its topic and key in columns, for the relay."""
    fields: Fields = _decode_fields(stored.payload)
    if kind is Requested:
        fields |= {"topic": stored.topic, "key": stored.key}
    if stored.data is not None:
        fields["data"] = msgspec.Raw(stored.data.encode())
    return fields


def _unknown(stored: Stored) -> UnknownEventError:
    message = (
        f"{stored.stream_id}.{stored.version} is a {stored.type} of schema {stored.schema},"
        " which this release does not know"
    )
    return UnknownEventError(message)
