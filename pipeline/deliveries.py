"""Deliveries under way: many keys at once, the messages of one key one after the other.

What is claimed is delivered by a pool of threads that pull their work. One thread is woken when work
comes; it wakes the next only when deliveries are slow enough to be worth it, because for fast ones
a change of threads costs more than the delivery. `spur` catches the first slow one after fast ones.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from time import monotonic

from outbox.attempts import Outcome
from pipeline.attempt import Attempt

SLOW = 0.0005  # seconds a delivery takes on average from which on another thread is worth waking
WEIGHT = 0.1  # of the newest delivery in the average
HORIZON = 1.0  # seconds of work that may be claimed ahead
MOST_OPEN = 10_000  # attempts claimed and not finished, so that memory stays bounded

Perform = Callable[[Attempt], Outcome]


class Deliveries:
    """Threads that deliver, and the attempts that wait for them.

    `perform` makes one attempt and never raises; `finished(outcome)` is called from those threads.
    `slowest` is what a delivery is assumed to take, in seconds, until one was measured: claims
    begin carefully. One thread owns this object: it alone submits, settles and abandons.
    """

    def __init__(
        self, perform: Perform, finished: Callable[[Outcome], None], *, concurrency: int, slowest: float
    ) -> None:
        self._perform = perform
        self._finished = finished
        self._concurrency = concurrency
        self._pace = slowest
        self._measured = False
        self._lock = threading.Lock()
        self._ready: deque[Attempt] = deque()
        self._lanes: dict[tuple[str, str], deque[Attempt]] = {}
        self._parked: SimpleQueue[None] = SimpleQueue()
        self._threads = self._idle = self._done = self._seen = 0
        self.open = 0

    @property
    def room(self) -> int:
        """How many more may be claimed, so that none waits for long while its lease runs."""
        ahead = int(self._concurrency * HORIZON / max(self._pace, 1e-6))
        return max(self._concurrency, min(ahead, MOST_OPEN)) - self.open

    @property
    def waiting(self) -> bool:
        """Whether attempts are ready and a thread could be found for them."""
        return bool(self._ready) and (self._idle > 0 or self._threads < self._concurrency)

    def submit(self, attempts: Sequence[Attempt]) -> None:
        """Deliver these, in their order where they share a key."""
        self.open += len(attempts)
        with self._lock:
            for attempt in attempts:
                self._line_up(attempt)
            self._wake()

    def settled(self, count: int) -> None:
        """So many outcomes are being recorded."""
        self.open -= count

    def spur(self) -> None:
        """Wake one more thread when nothing was finished since the last call: what runs is slower than expected."""
        with self._lock:
            if self._done == self._seen:
                self._wake()
            self._seen = self._done

    def abandon(self) -> list[Attempt]:
        """Take back whatever was not begun."""
        with self._lock:
            left = [*self._ready, *(attempt for lane in self._lanes.values() for attempt in lane)]
            self._ready.clear()
            self._lanes = {key: deque() for key in self._lanes}
        return left

    def _line_up(self, attempt: Attempt) -> None:
        if attempt.lane is None:
            self._ready.append(attempt)
            return
        lane = self._lanes.get(attempt.lane)
        if lane is None:
            self._lanes[attempt.lane] = deque()
            self._ready.append(attempt)
            return
        lane.append(attempt)

    def _wake(self) -> None:
        if not self._ready:
            return
        if self._idle:
            self._idle -= 1
            self._parked.put(None)
        elif self._threads < self._concurrency:
            self._threads += 1
            # a daemon: a destination that hangs must not keep a stopped process alive
            threading.Thread(target=self._serve, name=f"delivery-{self._threads}", daemon=True).start()

    def _serve(self) -> None:
        while True:
            attempt = self._next()
            started = monotonic()
            outcome = self._perform(attempt)
            self._complete(attempt, monotonic() - started)
            self._finished(outcome)

    def _next(self) -> Attempt:
        """The next attempt; parks the thread until there is one."""
        while True:
            with self._lock:
                if self._ready:
                    attempt = self._ready.popleft()
                    if self._pace > SLOW:
                        self._wake()
                    return attempt
                self._idle += 1
            self._parked.get()

    def _complete(self, attempt: Attempt, seconds: float) -> None:
        with self._lock:
            self._done += 1
            self._pace = self._pace + WEIGHT * (seconds - self._pace) if self._measured else seconds
            self._measured = True
            if attempt.lane is not None:
                self._advance(attempt.lane)

    def _advance(self, key: tuple[str, str]) -> None:
        lane = self._lanes[key]
        if lane:
            self._ready.append(lane.popleft())
            return
        del self._lanes[key]
