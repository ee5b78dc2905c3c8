"""Rows on their way to Kafka again, by the relay's own publisher, and at a rate."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable

from herald.outbox.relay.cursor import Cursor
from herald.outbox.relay.errors import BatchRefusedError
from herald.outbox.relay.publisher import Publisher
from herald.outbox.relay.reader import Page, Row
from herald.outbox.settings import Settings

PAGES = 8  # in flight at once
POLL = 0.05  # seconds
_NOWHERE = Cursor("1:1:", None, 0, 0, 0, "", 0, None)  # nothing here is saved


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
