"""Waking one sleeping thread, cheaply: ringing while it is awake costs a look at a flag."""

import threading
from collections.abc import Callable


class Doorbell:
    """One thread sleeps, any thread rings."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._asleep = False

    def ring(self) -> None:
        """Call it after the work was put where the sleeper looks."""
        if self._asleep:
            self._event.set()

    def sleep(self, has_work: Callable[[], bool], timeout: float | None) -> bool:
        """Return at a ring, or at once when there is work already; False after `timeout` seconds of neither."""
        self._event.clear()
        self._asleep = True  # from here on every ring counts; what came before, has_work sees
        rung = has_work() or self._event.wait(timeout)
        self._asleep = False
        return rung
