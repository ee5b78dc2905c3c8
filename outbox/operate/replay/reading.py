"""What the log published on a topic in a time, in the order of positions.

The log has no index by date: it is read by ranges of positions, so that each statement is short however much of it
lies outside that time. What was set aside was not published, nor what no record can hold: neither is read. A page is
bounded by bytes as well as by rows, as the relay's are.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import execute, fetch, fetch_one
from herald.outbox.relay.reader import LARGEST, ROW, UNKNOWN_SIZE, Limits, Row

RANGE = 20_000  # positions in one statement

_BOUNDS = "SELECT min(position), max(position) FROM outbox WHERE topic IS NOT NULL"
_CHOSEN = f"""
FROM outbox
WHERE topic IS NOT NULL AND topic = %(topic)s AND position > %(after)s AND position <= %(last)s
  AND coalesce(size, 0) <= {LARGEST} AND NOT EXISTS (
    SELECT FROM set_aside AS s
    WHERE s.stream_id = outbox.stream_id AND s.version = outbox.version AND s.decision IS DISTINCT FROM 'published')
  AND recorded_at >= coalesce(%(since)s, '-infinity'::timestamptz)
  AND recorded_at < coalesce(%(until)s, 'infinity'::timestamptz)
"""
# Only what is on the page is read: the outermost statement unfolds what is stored apart.
_PAGE = f"""
SELECT {ROW} FROM (
    SELECT *, sum(bytes) OVER (ORDER BY position ROWS UNBOUNDED PRECEDING) AS total
    FROM (
        SELECT stream_id, version, type, topic, key, payload, recorded_at, headers, position,
            coalesce(size, {UNKNOWN_SIZE}) AS bytes
        {_CHOSEN} ORDER BY position LIMIT %(rows)s
    ) AS found
) AS page WHERE total <= %(bytes)s OR total = bytes ORDER BY position
"""
# a log that grows by the thousand between two ANALYZE: this plan holds at every size
_PLAN = "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off"


class Choice(NamedTuple):
    """Records of this topic, recorded from `since` on and before `until`."""

    topic: str
    since: datetime | None
    until: datetime | None


class Span(NamedTuple):
    """Positions `after` and up to `last`."""

    after: int
    last: int


def find_span(connection: Connection) -> Span:
    """Where the log begins and ends now: what is recorded later is published anyway."""
    first, last = fetch_one(connection, _BOUNDS)
    connection.rollback()
    return Span(0, 0) if first is None else Span(first - 1, last)


def count_rows(connection: Connection, choice: Choice, span: Span) -> Iterator[int]:
    """How many fit, range by range."""
    for part in _parts(span):
        ((count,),) = _fetch(connection, f"SELECT count(*) {_CHOSEN}", {**choice._asdict(), **part._asdict()})
        yield count


def read_rows(connection: Connection, choice: Choice, span: Span, *, limits: Limits) -> Iterator[list[Row]]:
    """Pages within the limits."""
    for part in _parts(span):
        values = {**choice._asdict(), **part._asdict(), **limits._asdict()}
        while rows := _fetch(connection, _PAGE, values):
            yield rows
            values["after"] = rows[-1][-1]


def _fetch(connection: Connection, statement: str, values: dict[str, Any]) -> list[Any]:
    execute(connection, _PLAN)
    rows = fetch(connection, statement, values)
    connection.rollback()
    return rows


def _parts(span: Span) -> Iterator[Span]:
    for after in range(span.after, span.last, RANGE):
        yield Span(after, min(after + RANGE, span.last))
