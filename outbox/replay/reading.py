"""What the log published on a topic in a time, in the order of positions.

The log has no index by date: it is read by ranges of positions, so that each statement is short however much of it
lies outside that time. What was set aside was not published.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from psycopg2.extensions import connection as Connection  # noqa: N812 - a class with a lower-case name

from outbox.relay.reader import ROW, Row

RANGE = 20_000  # positions in one statement

_BOUNDS = "SELECT min(position), max(position) FROM outbox WHERE topic IS NOT NULL"
_CHOSEN = """
FROM outbox
WHERE topic IS NOT NULL AND position > %(after)s AND position <= %(last)s AND topic = %(topic)s AND NOT EXISTS (
    SELECT FROM set_aside AS s
    WHERE s.stream_id = outbox.stream_id AND s.version = outbox.version AND s.decision IS DISTINCT FROM 'published')
  AND recorded_at >= coalesce(%(since)s, '-infinity'::timestamptz)
  AND recorded_at < coalesce(%(until)s, 'infinity'::timestamptz)
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
    with connection.cursor() as cursor:
        cursor.execute(_BOUNDS)
        first, last = cursor.fetchone()  # type: ignore[misc]
    connection.rollback()
    return Span(0, 0) if first is None else Span(first - 1, last)


def count_rows(connection: Connection, choice: Choice, span: Span) -> Iterator[int]:
    """How many fit, range by range."""
    for part in _parts(span):
        ((count,),) = _fetch(connection, f"SELECT count(*) {_CHOSEN}", choice, part)
        yield count


def read_rows(connection: Connection, choice: Choice, span: Span, *, size: int) -> Iterator[list[Row]]:
    """Pages of at most `size` rows."""
    for part in _parts(span):
        after = part.after
        while rows := _page(connection, choice, Span(after, part.last), size):
            yield rows
            if len(rows) < size:
                break
            after = rows[-1][-1]


def _page(connection: Connection, choice: Choice, span: Span, size: int) -> list[Row]:
    return _fetch(connection, f"SELECT {ROW} {_CHOSEN} ORDER BY position LIMIT {size:d}", choice, span)


def _fetch(connection: Connection, statement: str, choice: Choice, span: Span) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(_PLAN)
        cursor.execute(statement, {**choice._asdict(), **span._asdict()})
        rows = cursor.fetchall()
    connection.rollback()
    return rows


def _parts(span: Span) -> Iterator[Span]:
    for after in range(span.after, span.last, RANGE):
        yield Span(after, min(after + RANGE, span.last))
