"""Waiting for what another process does."""

from collections.abc import Callable
from threading import Event
from time import monotonic
from typing import TypeVar

T = TypeVar("T")
POLL_INTERVAL = 0.02  # seconds


def eventually(condition: Callable[[], T], deadline: float = 10.0, *, what: str = "") -> T:
    """Ask until the condition holds and return its value, after at most `deadline` seconds.

    An AssertionError counts as "not yet"; every other exception passes through.
    Raises AssertionError that shows the last value.
    """
    end = monotonic() + deadline
    pause = Event()
    while True:
        last, holds = _ask(condition)
        if holds:
            return last  # type: ignore[return-value]  # what holds is the condition's own value
        if monotonic() >= end:
            message = f"{what or 'the condition'} did not hold within {deadline:g} s; last: {last!r}"
            raise AssertionError(message)
        pause.wait(POLL_INTERVAL)


def _ask(condition: Callable[[], T]) -> tuple[T | AssertionError, bool]:
    try:
        value = condition()
    except AssertionError as error:
        return error, False
    return value, bool(value)
