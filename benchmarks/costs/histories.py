"""Messages that were sent, with their history, as rows for COPY: requested, started, sent, one a second until now.

A commit whose tables have other columns gets rows of its own here, chosen by what its tables have.
"""

import io
import random
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import islice
from uuid import UUID

import msgspec

from benchmarks.letters import letters
from herald.outbox.message.notification import TOPIC, event_of
from herald.outbox.postgres.driver import Connection
from tests.servers.postgres import connect_to_tables

BATCH = 500  # messages of one transaction: as many as the committer writes at once
APART = timedelta(seconds=1)
STARTED, SENT, LEASE = timedelta(milliseconds=5), timedelta(milliseconds=8), timedelta(seconds=60)
OUTBOX = "COPY outbox (stream_id, version, type, topic, key, data, payload, recorded_at) FROM STDIN"
MESSAGES = """
COPY messages (id, topic, key, data_version, event, status, version, request, attempts, destination, requested_in,
               accepted_at, updated_at, sent_at)
FROM STDIN
"""
# before the data was in the log alone
OUTBOX_WITH_HEADERS = OUTBOX.replace("data, payload", "payload, headers")
MESSAGES_WITH_DATA = MESSAGES.replace("data_version, event", "data")
_RANDOM_BITS = 74  # of a UUIDv7
Sent = tuple[UUID, str, str, datetime]  # id, key, data, when it was accepted
Row = tuple[object, ...]


def load(database: str, count: int) -> None:
    """Fill the database of that URL, and leave it as a table that was vacuumed."""
    with closing(connect_to_tables(database)) as connection:
        connection.cursor().execute("SET synchronous_commit = off")
        sent, copy = _sent(count), _copy if _is_narrow(connection) else _copy_with_headers
        while batch := list(islice(sent, BATCH)):
            copy(connection, batch)
            connection.commit()
        connection.autocommit = True
        connection.cursor().execute("VACUUM (ANALYZE)")


def _sent(count: int) -> Iterator[Sent]:
    choose, first = random.Random(count), datetime.now(UTC) - count * APART
    for number, (user, data) in enumerate(letters(count)):
        at = first + number * APART
        yield _identity(at, choose.getrandbits(_RANDOM_BITS)), user, data.decode(), at


def _identity(at: datetime, chance: int) -> UUID:
    """A UUIDv7 of that time."""
    milliseconds, (high, low) = int(at.timestamp() * 1000), divmod(chance, 1 << 62)
    return UUID(int=milliseconds << 80 | 0x7 << 76 | high << 64 | 0b10 << 62 | low)


def _copy(connection: Connection, batch: list[Sent]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_xact_id()::text")
        (transaction,) = cursor.fetchone()  # type: ignore[misc]
        for event in (_requested, _started, _ended):  # small rows find the room that large ones left on their pages
            cursor.copy_expert(OUTBOX, _rows(map(event, batch)))
        cursor.copy_expert(MESSAGES, _rows(_message(one, transaction) for one in batch))


def _copy_with_headers(connection: Connection, batch: list[Sent]) -> None:
    def event(row: Row) -> Row:
        *place, data, payload, at = row
        return (*place, data, payload, at) if data is not None else (*place, payload, "{}", at)

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_xact_id()::text")
        (transaction,) = cursor.fetchone()  # type: ignore[misc]
        for made in (_requested, _started, _ended):
            cursor.copy_expert(OUTBOX_WITH_HEADERS, _rows(event(made(one)) for one in batch))
        messages = ((row, one) for one in batch for row in [_message(one, transaction)])
        cursor.copy_expert(MESSAGES_WITH_DATA, _rows((*row[:3], one[2], *row[5:]) for row, one in messages))


def _is_narrow(connection: Connection) -> bool:
    query = "SELECT FROM pg_attribute WHERE attrelid = 'messages'::regclass AND attname = 'data_version'"
    with connection.cursor() as cursor:
        cursor.execute(query)
        return bool(cursor.rowcount)


def _requested(sent: Sent) -> Row:
    identity, user, data, at = sent
    return identity, 1, "message.requested", TOPIC, user, data, '{"request": 1, "cause": "accepted"}', at


def _started(sent: Sent) -> Row:
    identity, _, _, at = sent
    until = (at + STARTED + LEASE).isoformat()
    payload = f'{{"attempt": 1, "lease_until": "{until}", "destination": "log"}}'
    return identity, 2, "message.started", None, None, None, payload, at + STARTED


def _ended(sent: Sent) -> Row:
    identity, _, _, at = sent
    return identity, 3, "message.sent", None, None, None, '{"attempt": 1}', at + SENT


def _message(sent: Sent, transaction: str) -> Row:
    identity, user, data, at = sent
    event = event_of(TOPIC, msgspec.Raw(data.encode()))
    return identity, TOPIC, user, 1, event, "sent", 3, 1, 1, "log", transaction, at, at + SENT, at + SENT


def _rows(rows: Iterator[Row]) -> io.StringIO:
    r"""COPY's text form. Nothing here has to be escaped: letters have neither tabs nor backslashes."""
    lines = ["\t".join("\\N" if value is None else str(value) for value in row) for row in rows]
    return io.StringIO("\n".join(lines) + "\n")
