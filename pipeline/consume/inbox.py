"""Records between Quix and the worker: added one by one, taken in batches, waited for in `flush`."""

import sys
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from time import monotonic

from herald.outbox.watched.pipeline import RECORDS
from herald.pipeline.consume.record import Arrival

CLAIM_TIMEOUT = 90.0  # seconds; far below those after which Kafka takes the partitions away (300)


class WorkerError(Exception):
    """The pipeline ends, or its worker hangs: what was added may not be claimed, and no offset may be committed."""


class Doorbell:
    """Wakes one sleeping thread from any other, cheaply: ringing while it is awake costs a look at a flag."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.is_asleep = False

    def ring(self) -> None:
        """Call it after the work was put where the sleeper looks."""
        if self.is_asleep:
            self._event.set()

    def sleep(self, has_work: Callable[[], bool], timeout: float | None) -> bool:
        """Return at a ring, or at once when there is work already; False after `timeout` seconds of neither."""
        self._event.clear()
        self.is_asleep = True  # from here on every ring counts; what came before, has_work sees
        rung = has_work() or self._event.wait(timeout)
        self.is_asleep = False
        return rung


class Inbox:
    """Add and flush from any thread, take from the worker's.

    It holds `most_bytes` of values, and a single larger one: whoever adds more waits, as in a flush.

    A flush waits for what was added before it, by anybody. Quix may orphan one in a thread of its
    own when partitions are revoked: it only waits, so nothing depends on it.
    """

    def __init__(self, doorbell: Doorbell, *, most_bytes: int = sys.maxsize) -> None:
        self._doorbell = doorbell
        self._most_bytes = most_bytes
        self._bytes = 0
        self._arrivals: deque[Arrival] = deque()
        self._changed = threading.Condition()
        self._added = self._settled = 0
        self._flushes: dict[int, float] = {}
        self.error: BaseException | None = None

    def __len__(self) -> int:
        return len(self._arrivals)

    @property
    def flushing_for(self) -> float:
        """Seconds the longest waiting flush, or addition, has waited; 0 when there is none."""
        with self._changed:
            return monotonic() - min(self._flushes.values()) if self._flushes else 0.0

    def add(self, arrival: Arrival) -> None:
        """Hand over a record. Raises WorkerError when the worker has ended, or makes no room for it."""
        with self._changed:
            self.raise_error()
            if not self._has_room(arrival):
                self._wait(lambda: self._has_room(arrival), CLAIM_TIMEOUT)
            self._added += 1
            self._bytes += arrival.size
            self._arrivals.append(arrival)
        self._doorbell.ring()

    def flush(self, timeout: float = CLAIM_TIMEOUT) -> int:
        """Wait until everything added so far is settled; returns how many there are since the start.

        Raises WorkerError when the worker has ended, or did not get there within `timeout` seconds.
        """
        with self._changed:
            target = self._added
            self._wait(lambda: self._settled >= target, timeout)
        return target

    def take(self, most: int, *, most_bytes: int = sys.maxsize) -> list[Arrival]:
        """The oldest records, `most` of them, of so many bytes together; one at least."""
        taken: list[Arrival] = []
        size = 0
        with self._changed:
            while self._arrivals and len(taken) < most:
                size += self._arrivals[0].size
                if taken and size > most_bytes:
                    break
                taken.append(self._arrivals.popleft())
            self._grow(-_size(taken))
        return taken

    def put_back(self, arrivals: Sequence[Arrival]) -> None:
        with self._changed:
            self._arrivals.extendleft(reversed(arrivals))
            self._grow(_size(arrivals))

    def drop(self, partitions: Collection[tuple[str, int]]) -> None:
        """Forget the records of these, by topic and number, that are not taken: whoever has them next reads them.

        Claimed here as well, the next of a key could begin in two processes at once.
        """
        with self._changed:
            kept = deque(one for one in self._arrivals if (one.topic, one.partition) not in partitions)
            dropped, self._arrivals = len(self._arrivals) - len(kept), kept
            self._bytes = _size(kept)
            self.settle(dropped)

    def settle(self, count: int) -> None:
        """The oldest so many are claimed, dropped or dead-lettered: their offsets may be committed."""
        with self._changed:
            self._settled += count
            RECORDS.inc(count)
            if self._flushes:
                self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        """Whoever adds or flushes from now on is told why that is over."""
        with self._changed:
            self.error = error
            self._changed.notify_all()

    def _wait(self, is_done: Callable[[], bool], timeout: float) -> None:
        """With the lock held. Raises WorkerError when the worker has ended, or is not done within so many seconds."""
        waiter = threading.get_ident()
        self._flushes[waiter] = monotonic()
        self._doorbell.ring()
        try:
            done = self._changed.wait_for(lambda: self.error or is_done(), timeout)
        finally:
            del self._flushes[waiter]
        self.raise_error()
        if not done:
            raise WorkerError(f"{self._added - self._settled} records are not claimed after {timeout:g} s")

    def _has_room(self, arrival: Arrival) -> bool:
        return not self._bytes or self._bytes + arrival.size <= self._most_bytes

    def _grow(self, size: int) -> None:
        self._bytes += size
        if self._flushes:
            self._changed.notify_all()

    def raise_error(self) -> None:
        """Raise WorkerError if the worker has ended."""
        if self.error is not None:
            raise WorkerError(f"the pipeline takes nothing more: {self.error}") from self.error


def _size(arrivals: Iterable[Arrival]) -> int:
    return sum(one.size for one in arrivals)
