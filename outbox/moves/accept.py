"""The statement that accepts: an event in the log and a row in its projection, for many commands at once."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec
from uuid_utils.compat import uuid7

from herald.outbox.message.dates import ANY_TIME, Dates, in_utc
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.prepared import prepare
from herald.outbox.postgres.statements import fetch_one


class Acceptance(msgspec.Struct, frozen=True, omit_defaults=True):
    """One message to be accepted; `data` is JSON, stored as it came."""

    id: UUID
    topic: str
    key: str | None
    data: msgspec.Raw
    traceparent: str | None = None
    deliver_at: datetime | None = None
    deliver_by: datetime | None = None
    priority: int | None = None
    group_id: UUID | None = None
    actor: str | None = None

    @property
    def size(self) -> int:
        """Bytes of its data."""
        return memoryview(self.data).nbytes


ACCEPT = prepare("accept", "SELECT transaction_id::text, at FROM accept(%(rows)s::json, NULL)", rows="text")
_encode = msgspec.json.Encoder().encode


def make_acceptance(
    topic: str,
    key: str | None,
    data: bytes,
    *,
    traceparent: str | None = None,
    dates: Dates = ANY_TIME,
    group_id: UUID | None = None,
) -> Acceptance:
    """Give a message its id, a UUIDv7; its time comes from this process's clock and decides nothing.

    Raises DateError for dates that were not checked.
    """
    at, by = dates.deliver_at, dates.deliver_by
    when = (at and in_utc("deliver_at", at), by and in_utc("deliver_by", by), dates.priority)
    return Acceptance(uuid7(), topic, key, msgspec.Raw(data), traceparent, *when, group_id=group_id)


def groups_of(acceptances: Sequence[Acceptance]) -> list[UUID]:
    """Whose messages are among these, in order, each once."""
    return list(dict.fromkeys(one.group_id for one in acceptances if one.group_id))


class Written(NamedTuple):
    """In which transaction (its xid8), and when by the database's clock, which decides what is `scheduled`."""

    transaction_id: int
    at: datetime


def accept(connection: Connection, acceptances: Sequence[Acceptance]) -> Written:
    """Write all of them in the caller's transaction.

    Raises PostgresError; one bad value fails all of them.
    """
    transaction_id, at = fetch_one(connection, ACCEPT, {"rows": _encode(acceptances).decode()})
    return Written(int(transaction_id), at)
