"""A pool of threads that pull their work, for handlers and channels that are plain functions.

One thread is woken when work comes; it wakes the next only when deliveries are slow enough to be worth it, because for
fast ones a change of threads costs more than the delivery. `Deliveries.wake_one_more` catches the first slow one after
fast ones.
"""

from collections.abc import Coroutine
from dataclasses import dataclass, field
from queue import SimpleQueue
from time import monotonic
from typing import Any, TypeVar

import structlog

from herald.outbox.threads import Thread
from herald.pipeline.deliver.attempt import Attempt
from herald.pipeline.deliver.crew import SLOW, Crew

T = TypeVar("T")

_log = structlog.get_logger()


@dataclass(eq=False)
class Threads(Crew):
    """They begin as they are needed, and stay until it is closed."""

    _parked: SimpleQueue[None] = field(default_factory=SimpleQueue, init=False)
    _threads: int = field(default=0, init=False)
    _idle: int = field(default=0, init=False)
    _is_closed: bool = field(default=False, init=False)

    @property
    def is_busy(self) -> bool:
        return self._idle == 0 and self._threads >= self.most

    def wake(self) -> None:
        """Wake one, if anything is ready."""
        if not self.destinations.has_ready:
            return
        if self._idle:
            self._idle -= 1
            self._parked.put(None)
        elif self._threads < self.most:
            self._begin_thread()

    def close(self) -> None:
        """End those that rest now, the others after their call; without the lock."""
        with self.lock:
            self._is_closed = True
            for _ in range(self._idle):
                self._parked.put(None)
            self._idle = 0

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
            while (attempt := self._next()) is not None:
                started = monotonic()
                outcome = driven(self.perform(attempt))
                self.end(attempt, outcome, monotonic() - started)
        except BaseException as error:  # noqa: BLE001 - told to whoever can end the process
            _log.error("delivery_thread_ended", reason=str(error), exc_info=error)
            self.on_error(error)

    def _next(self) -> Attempt | None:
        """The next attempt; parks the thread until there is one. None once all is over."""
        while True:
            with self.lock:
                if self._is_closed:
                    return None
                taken = self.destinations.take()
                if taken is not None:
                    attempt, pace = taken
                    if pace > SLOW:
                        self.wake()
                    return attempt
                self._idle += 1
            self._parked.get()


def driven(coroutine: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns that awaits nothing. Raises what it raises, and RuntimeError where it awaits."""
    try:
        coroutine.send(None)
    except StopIteration as ended:
        returned: T = ended.value
        return returned
    coroutine.close()
    raise RuntimeError("a coroutine awaits where no loop runs")
