"""One term of leadership: a thread reads ahead in the session, the caller publishes and settles.

Whatever goes wrong ends the term. The next one begins with a new session, a new producer and the
stored cursor: nothing read or sent in this term is carried over.
"""

import math
import queue
import threading
import time
from collections import Counter
from dataclasses import replace

import structlog

from herald.outbox.crash_points import reach
from herald.outbox.postgres.driver import Connection
from herald.outbox.relay import cursor as cursors
from herald.outbox.relay.cursor import Cursor
from herald.outbox.relay.errors import SilentKafkaError
from herald.outbox.relay.fairness import Fairness
from herald.outbox.relay.in_flight import InFlight
from herald.outbox.relay.judging import Judge
from herald.outbox.relay.publisher import Publisher
from herald.outbox.relay.reader import Limits, Page, with_epoch
from herald.outbox.relay.reading import read_next
from herald.outbox.relay.sends import Sends
from herald.outbox.relay.session import speak
from herald.outbox.relay.settling import note_settled, settle_page
from herald.outbox.relay.withheld import Part, count_waiting
from herald.outbox.threads import Thread
from herald.outbox.watched.life import came_by, living

PAGES_AHEAD = 8  # read or in flight at once: one page at a time reaches 83 % of the throughput
SLOW = 0.2  # seconds in flight after which a page is stuck
MORE_AHEAD = 500  # pages in flight beside one that is stuck, at most: half a minute of a page for each message
POLL = 1.0  # seconds without a notification until the log is looked at anyway
DEAF_POLL = 0.05  # seconds, where notifications do not arrive
SAVE_INTERVAL = 0.05  # seconds between two saves of the cursor; a crash repeats this much
ACK_WAIT = 0.002  # seconds to wait for acknowledgements before looking for the next page
DRAIN_TIMEOUT = 3.0  # seconds at the end of a term for what is in flight
_log = structlog.get_logger()


class Term:
    """Reads from `cursor` on, publishes, saves, until told to stop, for so many pages, or until something fails."""

    def __init__(  # noqa: PLR0913 - what a term is made of
        self,
        session: Connection,
        cursor: Cursor,
        publisher: Publisher,
        *,
        limits: Limits,
        poll: float,
        judge: Judge,
        pages: int | None = None,
    ) -> None:
        self._session = session
        self.cursor = cursor  # as it is stored
        self._publisher = publisher
        self._limits = limits
        self._poll = poll
        self._judge = judge
        self._ahead = threading.Semaphore(PAGES_AHEAD)
        # The main thread waits here, where signals come: one that ends a SimpleQueue's wait just as its time is over
        # makes it wait for ever (CPython 3.11, which takes the time that is left, below 0, for none at all).
        self._pages: queue.Queue[Page | None] = queue.Queue()
        self._settled: queue.SimpleQueue[InFlight] = queue.SimpleQueue()
        self._reading, self._ended = threading.Event(), threading.Event()
        self.renew = threading.Event()  # set it to go on with a new producer
        self.pause = threading.Event()  # set it to settle what is in flight, and end
        self._more_ahead = 0
        self._sends = Sends()
        self._fairness = Fairness()
        self._pages_left = math.inf if pages is None else pages
        self._failure: Exception | None = None
        self._silence: SilentKafkaError | None = None

    def run(self, stop: threading.Event) -> None:
        """Publish until `stop`, `renew` or `pause` is set.

        Raises PostgresError, LostLeadError, PublishError, FatalProducerError.
        """
        self._reading.set()
        thread = Thread(self._read, "relay-reader")
        thread.start()
        try:
            while self._goes_on(stop) and self._publish_next():
                if self._silence is not None:
                    raise self._silence
        finally:
            self._reading.clear()
            self._ended.set()
            thread.join()
        if self._failure is not None:
            raise self._failure
        if not self.renew.is_set():
            self._drain()

    def save(self) -> None:
        """Advance the stored cursor over the pages settled so far; while it runs, its own reader does."""
        last: InFlight | None = None
        passed: Counter[Part] = Counter()
        while not self._settled.empty():
            last = self._settled.get()
            settle_page(self._session, last, self._ended.wait)
            passed.update(last.kept)
        if last is not None:
            reach("relay.settled")
            self.cursor = cursors.save(self._session, with_epoch(last.cursor, self.cursor.epoch))
            reach("relay.saved")
            count_waiting(self._session, passed)

    def is_answered_or_ends(self) -> bool:
        """Whether Kafka settles records, though whoever asks here hears nothing; if not, the term ends."""
        if self._publisher.is_heard_lately:
            return True
        self._silence = SilentKafkaError("Kafka answers nothing any more, and settles nothing")
        return False

    def _goes_on(self, stop: threading.Event) -> bool:
        return self._pages_left > 0 and not any(event.is_set() for event in (stop, self.renew, self.pause))

    def _publish_next(self) -> bool:
        """Publish a page if one is there, settle what is acknowledged; False when the reader has ended."""
        came_by()
        wait = 0.0 if self._publisher.in_flight else self._poll
        try:
            page = self._pages.get(timeout=wait) if wait else self._pages.get_nowait()
        except queue.Empty:
            self._settle(ACK_WAIT)
            return True
        if page is None:
            return False
        self._publisher.publish(page)
        reach("relay.published")
        self._settle(0)
        return True

    def _look_at_stuck(self) -> None:
        """One partition that does not answer holds up no other: more pages may be in flight beside it."""
        if self._publisher.waits_for < SLOW:
            return
        self._publisher.check_leaders()
        if self._more_ahead < MORE_AHEAD and self._publisher.has_room:
            self._more_ahead += 1
            self._ahead.release()

    def _settle(self, timeout: float) -> None:
        for page in self._publisher.take_settled(timeout):
            note_settled(page)
            self._settled.put(page)
            self._pages_left -= 1
            if self._more_ahead:
                self._more_ahead -= 1
            else:
                self._ahead.release()
        self._look_at_stuck()

    def _drain(self) -> None:
        deadline = time.monotonic() + DRAIN_TIMEOUT
        while self._publisher.in_flight and time.monotonic() < deadline:
            self._settle(SAVE_INTERVAL)
        self.save()

    def _read(self) -> None:
        try:
            with living("relay-reader", may_fail=True):
                self._read_pages()
        except Exception as error:  # noqa: BLE001 - whatever it is, `run` raises it
            self._failure = error
        finally:
            self._pages.put(None)

    def _read_pages(self) -> None:
        place, saved_at = self.cursor, time.monotonic()
        while self._reading.is_set():
            if time.monotonic() - saved_at >= SAVE_INTERVAL:
                self.save()
                saved_at = time.monotonic()
            if not self._ahead.acquire(timeout=SAVE_INTERVAL):
                speak(self._session)
                continue
            closes = place.target is not None  # an empty page may still be the last of a difference
            page = read_next(self._session, place, self._limits, self._ended.wait, self._judge)
            place, is_empty = page.cursor, not (page.rows or page.refused)
            if closes or not is_empty:
                page = replace(page, rows=self._fairness.publishable(self._session, page.rows))
                reach("relay.read")
                self._pages.put(page)
                continue
            self._ahead.release()
            self._rest()

    def _rest(self) -> None:
        is_unsaved = not self._settled.empty() or self._publisher.in_flight > 0
        self._sends.wait(self._session, min(SAVE_INTERVAL, self._poll) if is_unsaved else self._poll)
