"""Deliveries under way: many destinations and keys at once, the messages of one key one after the other.

Lanes, turns, limits, memory and what goes back are kept here, whoever makes a call: threads (`threads`) make those of
plain functions, a loop (`loop`) those of coroutines. Both pull their work.
"""

import sys
import threading
from collections.abc import Callable, Collection, Coroutine, Sequence
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from herald.outbox.destination.policies import Policy
from herald.outbox.moves.claim import REASONS
from herald.outbox.moves.record import Outcome
from herald.pipeline.deliver.attempt import Attempt
from herald.pipeline.deliver.crew import SLOW, Crew, Perform
from herald.pipeline.deliver.destinations import Destinations
from herald.pipeline.deliver.lanes import Lanes
from herald.pipeline.deliver.loop import Loop
from herald.pipeline.deliver.noting import Made
from herald.pipeline.deliver.retry import postponed
from herald.pipeline.deliver.threads import Threads

ASSUMED = 0.05  # seconds a delivery takes until one was measured
MOST_OPEN = 20_000  # attempts claimed and not finished, so that memory stays bounded
LEAST_OPEN = 2_000  # of them while a crew is busy: enough that many destinations get their turn
AHEAD = 5.0  # seconds of work that is claimed ahead while a crew is busy
LOOK_AGAIN = 1.0  # seconds


class Deliveries:
    """The attempts that wait or run, and the two crews that make them.

    `most_bytes` bounds what they hold together, about. `perform` makes one attempt, in one of `concurrency` threads or
    on the loop, where `calls` are open at most, and never raises; `finished(outcome)` is called from there. `on_error`
    is called when one of them ends all the same: fewer and fewer would be left otherwise, and nobody would notice.
    `assumed` is what a delivery takes, in seconds, until one was measured. One thread owns this object: it alone
    submits, settles and abandons.
    """

    def __init__(  # noqa: PLR0913 - called by one composition root
        self,
        perform: Perform,
        finished: Callable[[Outcome], None],
        policy: Callable[[str | None], Policy],
        *,
        concurrency: int,
        calls: int = 1,
        most_bytes: int = sys.maxsize,
        on_error: Callable[[BaseException], None] = lambda _error: None,
        strict_topics: Collection[str] = (),
        assumed: float = ASSUMED,
        made: Made | None = None,
    ) -> None:
        self._finished, self._made = finished, made or Made()
        self._lock = threading.Lock()
        self._lanes = Lanes(strict_topics)

        def destinations(most: int) -> Destinations:
            return Destinations(policy, assumed=assumed, most=most)

        self._threads = Threads(perform, self._end, on_error, destinations(concurrency), self._lock)
        self._loop = Loop(perform, self._end, on_error, destinations(calls), self._lock)
        self._crews: tuple[Crew, ...] = (self._threads, self._loop)
        self._seen = 0
        self._most_bytes = most_bytes
        self._sizes: dict[tuple[UUID, int], int] = {}
        self._size = 0
        self.open = 0

    @property
    def room(self) -> int:
        """How many more may be claimed.

        Memory is the limit, or time where all of a crew are busy: what could not begin soon would be put off and
        requested again, and nothing else would go faster for it. In Kafka it waits for nothing.
        """
        most = MOST_OPEN
        for crew in self._crews:
            if crew.is_busy:
                most = min(most, max(LEAST_OPEN, int(AHEAD * crew.most / max(crew.pace, SLOW))))
        return most - self.open if self.room_bytes > 0 else 0

    @property
    def room_bytes(self) -> int:
        """How many more bytes may be claimed; a single larger message may when nothing else is open."""
        return self._most_bytes - self._size if self.open else max(self._most_bytes, 1)

    @property
    def waiting(self) -> bool:
        """Whether attempts are ready and a thread could be found for them."""
        if self._threads.is_busy:
            return False
        with self._lock:
            return self._threads.destinations.has_ready

    def wait(
        self, destination: str | None, lane: tuple[str, str] | None, *, within: float, is_async: bool = False
    ) -> float | None:
        """None when one more attempt would begin within so many seconds; else the seconds to put it off."""
        with self._lock:
            ahead = 0 if lane is None else self._lanes.length(lane)
            return self._crews[is_async].destinations.wait(destination, lane=ahead, within=within)

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
                destinations = self._crews[attempt.is_async].destinations
                destinations.opened(attempt.destination)
                if may_begin:
                    destinations.put(attempt)
        self._give_back(back)
        with self._lock:
            for crew in self._crews:
                crew.wake()

    def settled(self, outcomes: Sequence[Outcome]) -> None:
        """The database has these outcomes; those of attempts that were never submitted change nothing here."""
        sizes = [size for one in outcomes if (size := self._sizes.pop((one.id, one.attempt), None)) is not None]
        self.open -= len(sizes)
        self._size -= sum(sizes)
        with self._lock:
            self._lanes.recorded(outcomes)
        self._made.count()

    def wake_one_more(self) -> None:
        """Wake one more thread when nothing was finished since the last call: what runs is slower than expected."""
        with self._lock:
            if self._threads.done == self._seen:
                self._threads.wake()
            self._seen = self._threads.done

    @property
    def has_unbegun(self) -> bool:
        """Whether something is claimed and its call has not begun."""
        with self._lock:
            return self._lanes.has_waiting or any(crew.destinations.has_queued for crew in self._crews)

    def overdue(self, since: float) -> list[str]:
        """Calls that go on long beyond their time, counted from `since` at most: nobody else can end them."""
        with self._lock:
            return [f"a delivery {how}" for crew in self._crews for how in sorted(crew.destinations.overdue(since))]

    def abandon(self) -> list[Attempt]:
        with self._lock:
            ready = [attempt for crew in self._crews for attempt in crew.destinations.abandon()]
            return [*ready, *self._lanes.abandon()]

    def start(self) -> None:
        """Have the loop there before anything is claimed."""
        self._loop.start()

    def close(self, closing: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """End the calls that are still open on the loop; then run this there, where what it closes was opened.

        A thread whose call goes on ends after it.
        """
        self._threads.close()
        self._loop.close(closing)

    def _give_back(self, attempts: Sequence[Attempt]) -> None:
        for attempt in attempts:
            self._finished(postponed(attempt, REASONS["behind"], "behind", wait=LOOK_AGAIN))

    def _end(self, attempt: Attempt, outcome: Outcome, seconds: float) -> None:
        """A call was made; called from where it was."""
        back: list[Attempt] = []
        outcome = replace(outcome, seconds=seconds)
        self._made.note(attempt, outcome)
        try:
            back = self._complete(attempt, outcome, seconds)
        finally:  # whatever becomes of this thread, the call was made
            self._finished(outcome)
        self._give_back(back)

    def _complete(self, attempt: Attempt, outcome: Outcome, seconds: float) -> list[Attempt]:
        """Those of its lane that go back."""
        crew = self._crews[attempt.is_async]
        with self._lock:
            crew.note(attempt, seconds)
            following, back = self._lanes.leave(attempt, outcome)
            if following is not None:
                next_crew = self._crews[following.is_async]
                next_crew.destinations.put(following)
                if next_crew is not crew:
                    next_crew.wake()
            for one in back:
                self._crews[one.is_async].destinations.given_back(one)
        return back
