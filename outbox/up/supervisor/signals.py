"""Signals as something the main thread can wait on: a request to stop, a second one, a child that ended."""

import os
import select
import signal
from types import FrameType, TracebackType
from typing import Self

STOP = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
HANDLED = (*STOP, signal.SIGCHLD)


class StopRequested(Exception):  # noqa: N818 - not an error: a person wants to stop
    """Raised out of a wait during start-up when a person asked to stop."""


class Signals:
    """Wakes `wait` through a pipe; the handlers only count.

    An Event would not do: `Event.set` in a handler deadlocks when the signal interrupts the event's own lock.
    """

    def __init__(self) -> None:
        self.requests = 0
        self._previous: dict[signal.Signals, object] = {}
        self._wakeup, self._alarm = os.pipe()
        os.set_blocking(self._wakeup, False)
        os.set_blocking(self._alarm, False)

    def __enter__(self) -> Self:
        self._previous = {number: signal.signal(number, self._handle) for number in HANDLED}
        signal.set_wakeup_fd(self._alarm, warn_on_full_buffer=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.set_wakeup_fd(-1)
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        os.close(self._wakeup)
        os.close(self._alarm)

    @property
    def stopping(self) -> bool:
        """A person asked to stop."""
        return self.requests > 0

    @property
    def hurry(self) -> bool:
        """A person asked twice: no more waiting for anyone."""
        return self.requests > 1

    def wait(self, seconds: float) -> None:
        """Return at the next signal of interest, or after `seconds`."""
        ready, _, _ = select.select([self._wakeup], [], [], max(seconds, 0.0))
        if ready:
            os.read(self._wakeup, 4096)

    def wait_unless_stopping(self, seconds: float) -> None:
        """Wait as `wait` does; raises StopRequested as soon as a person asked to stop."""
        self.wait(0 if self.stopping else seconds)
        if self.stopping:
            raise StopRequested

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if number != signal.SIGCHLD:
            self.requests += 1
