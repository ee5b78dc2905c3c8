"""Looking at the desk: by error, one after the other, or one whole."""

from contextlib import closing
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from herald.outbox.desk.filters import CHANNEL, DESK, Filter
from herald.outbox.message.state import Status
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.log import DATA
from herald.outbox.postgres.paging import PIECE, bounded
from herald.outbox.postgres.statements import fetch_column, fetch_named, fetch_value, stream_named

EVERYTHING = Filter()
BEFORE_ALL = UUID(int=0)
MOST_GROUPS = 200  # in one answer, the largest first


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Dead letters that failed alike; `error` can be given to a filter as it is, `sample` is one of them."""

    error: str
    topic: str
    channel: str | None
    status: Status
    count: int
    oldest: datetime
    newest: datetime
    sample: UUID


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A message on the desk; `updated_at` is when it came there."""

    id: UUID
    topic: str
    key: str | None
    data: msgspec.Raw
    status: Status
    reason: str | None
    reason_code: str | None
    error: str
    destination: str | None
    attempts: int
    group: UUID | None
    accepted_at: datetime
    updated_at: datetime


_WHERE = "<condition>"  # not a brace: the conditions have braces of their own

_GROUPS = f"""
SELECT u.error, m.topic, {CHANNEL} AS channel, u.status, count(*) AS count,
       min(m.updated_at) AS oldest, max(m.updated_at) AS newest, max(m.id::text) AS sample
FROM {DESK}
WHERE {_WHERE}
GROUP BY 1, 2, 3, 4
ORDER BY count(*) DESC, 1
LIMIT {MOST_GROUPS}
"""

_LIST = f"""
SELECT m.id::text, m.topic, m.key, {DATA}::text AS data, u.status, m.reason, m.reason_code, u.error, m.destination,
       m.attempts, m.group_id::text AS "group", m.accepted_at, m.updated_at
FROM {DESK}
WHERE {_WHERE} AND (%(before)s::uuid IS NULL OR u.id < %(before)s::uuid)
ORDER BY u.id DESC
LIMIT %(limit)s
"""


def list_groups(connection: Connection, chosen: Filter = EVERYTHING) -> list[Group]:
    """By error, topic, channel and status, the largest first."""
    rows = fetch_named(connection, _GROUPS.replace(_WHERE, chosen.condition), chosen.values)
    return [Group(**{**row, "sample": UUID(row["sample"])}) for row in rows]


def list_dead_letters(
    connection: Connection, chosen: Filter = EVERYTHING, *, limit: int, before: UUID | None = None
) -> tuple[list[DeadLetter], bool]:
    """At most `limit` of them, newest message first, those older than `before`; and whether there are more."""
    values = {**chosen.values, "limit": limit + 1, "before": None if before is None else str(before)}
    rows = stream_named(connection, _LIST.replace(_WHERE, chosen.condition), values, name="letters", piece=PIECE)
    with closing(rows):
        return bounded(map(_letter, rows), _size, limit=limit)


def _size(letter: DeadLetter) -> int:
    return memoryview(letter.data).nbytes


def find_dead_letter(connection: Connection, message_id: UUID) -> DeadLetter | None:
    """One of them; None when there is no such message, or it is not on the desk."""
    condition = f"{EVERYTHING.condition} AND u.id = %(id)s"
    values = {"id": str(message_id), "limit": 1, "before": None}
    return next(map(_letter, fetch_named(connection, _LIST.replace(_WHERE, condition), values)), None)


def count_dead_letters(connection: Connection, chosen: Filter) -> int:
    """How many fit."""
    query = f"SELECT count(*) FROM {DESK} WHERE {chosen.condition}"
    return int(fetch_value(connection, query, chosen.values))


def choose(
    connection: Connection, chosen: Filter, *, limit: int, before: str = "infinity", after: UUID = BEFORE_ALL
) -> list[UUID]:
    """At most `limit` that fit and came onto the desk before that date, the oldest message first, those `after` one."""
    query = (
        f"SELECT u.id::text FROM {DESK} WHERE {chosen.condition} AND m.updated_at <= %(before)s::timestamptz"
        " AND u.id > %(after)s::uuid ORDER BY u.id LIMIT %(limit)s"
    )
    values = {**chosen.values, "limit": limit, "before": before, "after": str(after)}
    return [UUID(message) for message in fetch_column(connection, query, values)]


def _letter(row: dict[str, Any]) -> DeadLetter:
    identities = {"id": UUID(row["id"]), "group": row["group"] and UUID(row["group"])}
    return DeadLetter(**{**row, **identities, "data": msgspec.Raw(row["data"].encode())})
