"""Records between Quix and the worker: added one by one, taken in batches, waited for in `flush`."""

import threading
from collections import deque
from collections.abc import Sequence
from time import monotonic

from pipeline.doorbell import Doorbell
from pipeline.records import Arrival


class WorkerError(Exception):
    """The pipeline ends, or its worker hangs: what was added may not be claimed, and no offset may be committed."""


class Inbox:
    """Add and flush from any thread, take from the worker's.

    A flush waits for what was added before it, by anybody. Quix may orphan one in a thread of its
    own when partitions are revoked: it only waits, so nothing depends on it.
    """

    def __init__(self, doorbell: Doorbell) -> None:
        self._doorbell = doorbell
        self._arrivals: deque[Arrival] = deque()
        self._changed = threading.Condition()
        self._added = self._settled = 0
        self._flushes: dict[int, float] = {}
        self._error: BaseException | None = None

    def __len__(self) -> int:
        return len(self._arrivals)

    @property
    def flushing_for(self) -> float:
        """Seconds the longest waiting flush has waited; 0 when there is none."""
        with self._changed:
            return monotonic() - min(self._flushes.values()) if self._flushes else 0.0

    def add(self, arrival: Arrival) -> None:
        """Hand over a record. Raises WorkerError when the worker has ended."""
        self._raise_error()
        with self._changed:
            self._added += 1
            self._arrivals.append(arrival)
        self._doorbell.ring()

    def flush(self, timeout: float) -> int:
        """Wait until everything added so far is settled; returns how many there are since the start.

        Raises WorkerError when the worker has ended, or did not get there within `timeout` seconds.
        """
        with self._changed:
            target, waiter = self._added, threading.get_ident()
            self._flushes[waiter] = monotonic()
            self._doorbell.ring()
            try:
                settled = self._changed.wait_for(lambda: self._error or self._settled >= target, timeout)
            finally:
                del self._flushes[waiter]
        self._raise_error()
        if not settled:
            message = f"{target - self._settled} records are not claimed after {timeout:g} s"
            raise WorkerError(message)
        return target

    def take(self, most: int) -> list[Arrival]:
        """The oldest records, `most` of them."""
        count = min(most, len(self._arrivals))
        return [self._arrivals.popleft() for _ in range(count)]

    def put_back(self, arrivals: Sequence[Arrival]) -> None:
        """Back to the front, in their order."""
        self._arrivals.extendleft(reversed(arrivals))

    def settle(self, count: int) -> None:
        """The oldest so many are claimed, dropped or dead-lettered: their offsets may be committed."""
        with self._changed:
            self._settled += count
            if self._flushes:
                self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        """Whoever adds or flushes from now on is told why that is over."""
        with self._changed:
            self._error = error
            self._changed.notify_all()

    def _raise_error(self) -> None:
        if self._error is not None:
            message = f"the pipeline takes nothing more: {self._error}"
            raise WorkerError(message) from self._error
