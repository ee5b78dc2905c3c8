"""Messages that came from Kafka, not from a caller: adopted from other producers, or recovered.

Each function is one statement, in the caller's transaction unless it says otherwise, and changes nothing when repeated.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from herald.outbox.message.events import Adopted, Event, Recovered
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import execute, fetch_column, fetch_value

_encode = msgspec.json.Encoder().encode


class Foreign(msgspec.Struct, frozen=True, kw_only=True):
    """What another producer put on a topic; the id is made from the record's identity, so it comes out once."""

    id: UUID
    topic: str
    key: str | None
    data: msgspec.Raw
    source: str
    traceparent: str | None = None
    deliver_at: datetime | None = None
    deliver_by: datetime | None = None
    priority: int | None = None


class Lost(msgspec.Struct, frozen=True, kw_only=True):
    """Herald's own record whose stream the database does not know: a fail-over lost it, Kafka kept it."""

    id: UUID
    version: int
    topic: str
    key: str | None
    data: msgspec.Raw
    request: int
    traceparent: str | None = None
    deliver_by: datetime | None = None
    priority: int | None = None


ADOPT = "SELECT adopt(%(rows)s::json, %(type)s::text)"
_REACH = """
SELECT 1000 * extract(epoch FROM greatest(clock_timestamp() + interval '1 day', max(ends_at)))::bigint - 1
FROM partitions WHERE parent = 'messages'
"""


def adopt(connection: Connection, foreign: Sequence[Foreign]) -> None:
    """Take over other producers' messages: pending afterwards, with request 1, or scheduled for a later date."""
    _append(connection, foreign, Adopted)


def recover(connection: Connection, lost: Sequence[Lost]) -> None:
    """Append back what the database lost, under the ids that Kafka kept."""
    _append(connection, lost, Recovered)


def _append(connection: Connection, rows: Sequence[Foreign] | Sequence[Lost], event: type[Event]) -> None:
    execute(connection, ADOPT, {"rows": _encode(rows).decode(), "type": event.TYPE})


def unknown(connection: Connection, ids: Sequence[UUID]) -> set[UUID]:
    """Which of these ids the database has never heard of."""
    query = (
        "SELECT id::text FROM unnest(%s::uuid[]) AS asked(id)"
        " WHERE NOT EXISTS (SELECT FROM messages AS m WHERE m.id = asked.id)"
    )
    return {UUID(one) for one in fetch_column(connection, query, [str(one) for one in ids])}


def is_known(connection: Connection, message: UUID) -> bool:
    """Whether the database has this message. In a transaction of its own: call it between others."""
    with connection:
        return not unknown(connection, [message])


def read_horizon(connection: Connection) -> UUID:
    """Below this id, what the database does not know has left with its partition (outbox/scheduler/retention.py)."""
    return UUID(fetch_value(connection, "SELECT horizon::text FROM closing"))


def read_reach(connection: Connection) -> int:
    """Up to this date, in milliseconds since 1970, an id finds a partition.

    That is the newest one's end, or a day from now, up to which the relay makes them (outbox_reach in the migrations).
    In a transaction of its own: call it between others.
    """
    with connection:
        return int(fetch_value(connection, _REACH))
