"""Threads that begin, or say that they cannot."""

import threading
from collections.abc import Callable
from typing import Any

BEGIN_TIMEOUT = 10.0  # seconds


class Thread(threading.Thread):
    """A daemon; `start` raises RuntimeError where the machine has no thread, or no memory for its first step.

    Without memory for that step Python's own waits for ever (3.11 to 3.14): it has no deadline for `_started`.
    """

    def __init__(self, target: Callable[..., object], name: str, args: tuple[Any, ...] = ()) -> None:
        super().__init__(target=target, name=name, args=args, daemon=True)
        self._started = _Begun()


class _Begun(threading.Event):
    def wait(self, timeout: float | None = None) -> bool:
        """Raises RuntimeError where it would wait without end, and does for 10 seconds."""
        if super().wait(BEGIN_TIMEOUT if timeout is None else timeout):
            return True
        if timeout is not None:
            return False
        message = f"can't start new thread: it has not begun within {BEGIN_TIMEOUT:g} s"
        raise RuntimeError(message)
