"""Until when a delivery may take."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from time import monotonic
from typing import TypeVar

from herald.outbox.threads import Thread

T = TypeVar("T")


class Deadline:
    """So many seconds from now; a step gets what the steps before it have left."""

    def __init__(self, seconds: float) -> None:
        self._end = monotonic() + seconds

    @property
    def is_over(self) -> bool:
        return monotonic() >= self._end

    def left(self) -> float:
        """Seconds, more than 0. Raises TimeoutError when there are none."""
        seconds = self._end - monotonic()
        if seconds <= 0:
            raise TimeoutError("timed out")
        return seconds


def within(deadline: Deadline, work: Callable[[], T]) -> T:
    """What the work returns or raises; TimeoutError at the deadline.

    For work that knows no timeout: it runs in a thread that is left behind then, and that keeps no
    process from ending.
    """
    seconds = deadline.left()
    return _begun(work).result(seconds)


def in_thread(work: Callable[[], T]) -> "asyncio.Future[T]":
    """The same on a loop, where whoever awaits it has the deadline."""
    return asyncio.wrap_future(_begun(work))


def _begun(work: Callable[[], T]) -> "Future[T]":
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()  # nothing cancels it
    Thread(_run, "within", args=(work, future)).start()
    return future


def _run(work: Callable[[], T], future: "Future[T]") -> None:
    try:
        future.set_result(work())
    except Exception as error:  # noqa: BLE001 - raised again where the result is awaited
        future.set_exception(error)
