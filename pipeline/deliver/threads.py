"""Deliveries under way: many destinations and keys at once, the messages of one key one after the other.

What is claimed is delivered by a pool of threads that pull their work. One thread is woken when work
comes; it wakes the next only when deliveries are slow enough to be worth it, because for fast ones
a change of threads costs more than the delivery. `wake_one_more` catches the first slow one after fast ones.
"""

import sys
import threading
from collections.abc import Callable, Collection, Sequence
from queue import SimpleQueue
from time import monotonic
from uuid import UUID

import structlog

from herald.outbox.destination.policies import Policy
from herald.outbox.moves.claim import REASONS
from herald.outbox.moves.record import Outcome
from herald.outbox.threads import Thread
from herald.pipeline.deliver.attempt import Attempt
from herald.pipeline.deliver.destinations import Destinations
from herald.pipeline.deliver.lanes import Lanes
from herald.pipeline.deliver.retry import postponed

SLOW = 0.0005  # seconds a delivery takes on average from which on another thread is worth waking
ASSUMED = 0.05  # seconds a delivery takes until one was measured
MOST_OPEN = 20_000  # attempts claimed and not finished, so that memory stays bounded
LEAST_OPEN = 2_000  # of them while all threads are busy: enough that many destinations get their turn
AHEAD = 5.0  # seconds of work that is claimed ahead while all threads are busy
WEIGHT = 0.01  # of the newest delivery in the average
LOOK_AGAIN = 1.0  # seconds

_log = structlog.get_logger()


class Deliveries:
    """Threads that deliver, and the attempts that wait for them.

    `most_bytes` bounds what they hold together, about. `perform` makes one attempt and never raises;
    `finished(outcome)` is called from those threads. `on_error` is called when one of them ends all the same: fewer
    and fewer would be left otherwise, and nobody would notice. `assumed` is what a delivery takes, in seconds, until
    one was measured. One thread owns this object: it alone submits, settles and abandons.
    """

    def __init__(  # noqa: PLR0913 - called by one composition root
        self,
        perform: Callable[[Attempt], Outcome],
        finished: Callable[[Outcome], None],
        policy: Callable[[str | None], Policy],
        *,
        concurrency: int,
        most_bytes: int = sys.maxsize,
        on_error: Callable[[BaseException], None] = lambda _error: None,
        strict_topics: Collection[str] = (),
        assumed: float = ASSUMED,
    ) -> None:
        self._perform = perform
        self._finished = finished
        self._concurrency = concurrency
        self._on_error = on_error
        self._lock = threading.Lock()
        self._destinations = Destinations(policy, assumed=assumed)
        self._lanes = Lanes(strict_topics)
        self._parked: SimpleQueue[None] = SimpleQueue()
        self._threads = self._idle = self._done = self._seen = 0
        self._pace = assumed
        self._most_bytes = most_bytes
        self._sizes: dict[tuple[UUID, int], int] = {}
        self._size = 0
        self.open = 0

    @property
    def room(self) -> int:
        """How many more may be claimed.

        Memory is the limit, or time where all threads are busy: what could not begin soon would be put off and
        requested again, and nothing else would go faster for it. In Kafka it waits for nothing.
        """
        most = MOST_OPEN
        if self._are_all_busy:
            most = min(most, max(LEAST_OPEN, int(AHEAD * self._concurrency / max(self._pace, SLOW))))
        return most - self.open if self.room_bytes > 0 else 0

    @property
    def room_bytes(self) -> int:
        """How many more bytes may be claimed; a single larger message may when nothing else is open."""
        return self._most_bytes - self._size if self.open else max(self._most_bytes, 1)

    @property
    def _are_all_busy(self) -> bool:
        return self._idle == 0 and self._threads >= self._concurrency

    @property
    def waiting(self) -> bool:
        """Whether attempts are ready and a thread could be found for them."""
        if self._are_all_busy:
            return False
        with self._lock:
            return self._destinations.has_ready

    def wait(self, destination: str | None, lane: tuple[str, str] | None, *, within: float) -> float | None:
        """None when one more attempt would begin within so many seconds; else the seconds to put it off."""
        with self._lock:
            ahead = 0 if lane is None else self._lanes.length(lane)
            return self._destinations.wait(destination, lane=ahead, within=within)

    def is_here(self, lane: tuple[str, str] | None) -> bool:
        """Whether the order of this strict lane is kept here."""
        with self._lock:
            return lane is not None and self._lanes.is_here(lane)

    def submit(self, attempts: Sequence[Attempt]) -> None:
        """Deliver these, in their order where they share a key. Raises RuntimeError where no thread can be started."""
        self.open += len(attempts)
        back: list[Attempt] = []
        with self._lock:
            for attempt in attempts:
                self._sizes[attempt.request.id, attempt.number] = attempt.size
                self._size += attempt.size
                may_begin = self._lanes.enter(attempt)
                if may_begin is None:
                    back.append(attempt)
                    continue
                self._destinations.opened(attempt.destination)
                if may_begin:
                    self._destinations.put(attempt)
        self._give_back(back)
        with self._lock:
            self._wake()

    def settled(self, outcomes: Sequence[Outcome]) -> None:
        """The database has these outcomes; those of attempts that were never submitted change nothing here."""
        sizes = [size for one in outcomes if (size := self._sizes.pop((one.id, one.attempt), None)) is not None]
        self.open -= len(sizes)
        self._size -= sum(sizes)
        with self._lock:
            self._lanes.recorded(outcomes)

    def wake_one_more(self) -> None:
        """Wake one more thread when nothing was finished since the last call: what runs is slower than expected."""
        with self._lock:
            if self._done == self._seen:
                self._wake()
            self._seen = self._done

    @property
    def has_unbegun(self) -> bool:
        """Whether something is claimed and its call has not begun."""
        with self._lock:
            return self._destinations.has_queued or self._lanes.has_waiting

    def abandon(self) -> list[Attempt]:
        with self._lock:
            return [*self._destinations.abandon(), *self._lanes.abandon()]

    def _give_back(self, attempts: Sequence[Attempt]) -> None:
        for attempt in attempts:
            self._finished(postponed(attempt, REASONS["behind"], "behind", wait=LOOK_AGAIN))

    def _wake(self) -> None:
        if not self._destinations.has_ready:
            return
        if self._idle:
            self._idle -= 1
            self._parked.put(None)
        elif self._threads < self._concurrency:
            self._begin_thread()

    def _begin_thread(self) -> None:
        try:  # a daemon: a destination that hangs must not keep a stopped process alive
            Thread(self._serve, f"delivery-{self._threads + 1}").start()
        except RuntimeError:  # the machine has no more of them; those that there are go on
            if not self._threads:
                raise
            return
        self._threads += 1

    def _serve(self) -> None:
        try:
            while True:
                self._deliver(self._next())
        except BaseException as error:  # noqa: BLE001 - told to whoever can end the process
            _log.error("delivery_thread_ended", reason=str(error), exc_info=error)
            self._on_error(error)

    def _deliver(self, attempt: Attempt) -> None:
        started = monotonic()
        outcome = self._perform(attempt)
        try:
            back = self._complete(attempt, outcome, monotonic() - started)
        finally:  # whatever becomes of this thread, the call was made
            self._finished(outcome)
        self._give_back(back)

    def _next(self) -> Attempt:
        """The next attempt; parks the thread until there is one."""
        while True:
            with self._lock:
                taken = self._destinations.take()
                if taken is not None:
                    attempt, pace = taken
                    if pace > SLOW:
                        self._wake()
                    return attempt
                self._idle += 1
            self._parked.get()

    def _complete(self, attempt: Attempt, outcome: Outcome, seconds: float) -> list[Attempt]:
        """Those of its lane that go back."""
        with self._lock:
            self._done += 1
            self._pace += WEIGHT * (seconds - self._pace)
            self._destinations.done(attempt, seconds)
            following, back = self._lanes.leave(attempt, outcome)
            if following is not None:
                self._destinations.put(following)
            for one in back:
                self._destinations.given_back(one)
        return back
