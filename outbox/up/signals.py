"""A person's requests to stop."""

import signal
import time
from typing import Any, Self


class StopRequested(Exception):  # noqa: N818 - not an error: a person wants to stop
    """Raised out of a wait when a person asked to stop."""


class Signals:
    """Counts SIGINT, SIGTERM and SIGHUP; their handlers do no more, so that they may interrupt anything."""

    def __init__(self) -> None:
        self.requests = 0
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._previous[number] = signal.signal(number, self._count)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    @property
    def hurry(self) -> bool:
        """A person asked twice: no more waiting for anyone."""
        return self.requests > 1

    def wait(self, seconds: float) -> None:
        """Sleep. Raises StopRequested once a person asked to stop."""
        if not self.requests:
            time.sleep(seconds)
        if self.requests:
            raise StopRequested

    def _count(self, *_: object) -> None:
        self.requests += 1
