"""Waiting for what other threads and processes do, never longer than a deadline."""

from collections.abc import Callable
from threading import Event
from time import monotonic

POLL = 0.01  # seconds between two looks


def until(condition: Callable[[], bool], deadline: float) -> bool:
    """Ask until it holds, for `deadline` seconds at most; whether it does."""
    end, pause = monotonic() + deadline, Event()
    while not condition():
        if monotonic() >= end:
            return False
        pause.wait(POLL)
    return True
