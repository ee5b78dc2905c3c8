"""What the log published on a topic in a time, in the order of positions, on its way to Kafka again.

The log has no index by date: it is read by ranges of positions, so that each statement is short however much of it
lies outside that time. What was set aside was not published, nor what no record can hold: neither is read. A page is
bounded by bytes as well as by rows, as the relay's are. It is published by the relay's own publisher, and at a rate.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any, NamedTuple

from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import execute, fetch, fetch_one
from herald.outbox.relay.cursor import Cursor
from herald.outbox.relay.errors import BatchRefusedError
from herald.outbox.relay.page_statements import LARGEST, ROW, UNKNOWN_SIZE
from herald.outbox.relay.publisher import Publisher
from herald.outbox.relay.reader import Limits, Page, Row
from herald.outbox.settings import Settings

PAGES = 8  # in flight at once
POLL = 0.05  # seconds
RANGE = 20_000  # positions in one statement
_NOWHERE = Cursor("1:1:", None, 0, 0, 0, "", 0, None)  # nothing here is saved

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
        SELECT stream_id, version, type, topic, key, data, payload, recorded_at, position,
            coalesce(size, {UNKNOWN_SIZE}) AS bytes
        {_CHOSEN} ORDER BY position LIMIT %(rows)s
    ) AS found
) AS o WHERE total <= %(bytes)s OR total = bytes ORDER BY position
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


class Replayer:
    """Publishes pages; `published` counts what Kafka took, `refused` what it never will, `last` is the newest row."""

    def __init__(self, settings: Settings, *, rate: float | None, stop: threading.Event) -> None:
        self._settings = settings
        self._rate = rate
        self._stop = stop
        self._publisher = Publisher(settings)
        self._flying: deque[list[Row]] = deque()
        self._sent = 0
        self.published = 0
        self.refused: list[tuple[Row, str]] = []
        self.last: Row | None = None

    def run(self, pages: Iterable[list[Row]], show: Callable[[int], None]) -> None:
        """Until all are settled or `stop` is set; what is in flight then is waited for.

        Raises PublishError, FatalProducerError.
        """
        began = time.monotonic()
        for rows in pages:
            if self._stop.is_set():
                break
            self._settle(PAGES - 1)
            self._publish(rows)
            self._sent += len(rows)
            self._pace(began)
            show(self.published)
        self._settle(0)
        show(self.published)

    def _publish(self, rows: list[Row]) -> None:
        self._flying.append(rows)
        self._publisher.publish(Page(rows, _NOWHERE))

    def _pace(self, began: float) -> None:
        """Wait until so many may have been sent; acknowledgements are served meanwhile."""
        due = began if self._rate is None else began + self._sent / self._rate
        while (left := due - time.monotonic()) > 0 and not self._stop.is_set():
            self._take(0)
            self._stop.wait(min(left, POLL))

    def _settle(self, most: int) -> None:
        """Wait until at most so many pages are in flight."""
        while self._publisher.in_flight > most:
            self._take(POLL)

    def _take(self, timeout: float) -> None:
        """Serve what has come back."""
        try:
            settled = self._publisher.take_settled(timeout)
        except BatchRefusedError:
            self._go_on_carefully()
            return
        for page in settled:
            self._flying.popleft()
            refused = [*page.refused, *((row, str(why)) for row, why in page.unfit)]
            self.refused += refused
            self.published += len(page.rows) - len(refused)
            self.last = page.rows[-1]

    def _go_on_carefully(self) -> None:
        """Kafka refused a batch for one record's sake: what is in flight goes again, each record alone."""
        self._publisher.abandon()
        self._publisher = Publisher(self._settings, is_careful=True)
        flying, self._flying = self._flying, deque()
        for rows in flying:
            self._publish(rows)
