"""Topics of which something is unread and nobody reads on: no pipeline that runs has a consumer for them.

What stands there waits, and is not published again: only what the group has passed can be lost (lost.py).
"""

import math
import time
from collections.abc import Callable, Mapping

import structlog

from herald.outbox.scheduler.behind import Standing

PATIENCE = 300.0  # seconds without progress until a topic is named
TELL_AGAIN = 900.0  # seconds
_log = structlog.get_logger()


class Unread:
    """Remembers how far each topic was read; used by one thread. `clock` in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._read: dict[str, Mapping[str, int]] = {}
        self._since: dict[str, float] = {}
        self._told: dict[str, float] = {}

    def note(self, standing: Standing) -> None:
        """Name those that have stood still for five minutes, once a quarter of an hour."""
        for topic, read in standing.read.items():
            unread = sum(max(0, end - read.get(number, end)) for number, end in standing.ends.get(topic, {}).items())
            if not unread or read != self._read.get(topic):
                self._read[topic], self._since[topic] = read, self._clock()
                self._told.pop(topic, None)
            elif self._clock() - self._since[topic] >= PATIENCE:
                self._tell(topic, unread)

    def _tell(self, topic: str, unread: int) -> None:
        now = self._clock()
        if now - self._told.get(topic, -math.inf) >= TELL_AGAIN:
            self._told[topic], seconds = now, round(now - self._since[topic])
            _log.warning("topic_without_consumer", topic=topic, unread=unread, seconds=seconds, see="herald doctor")
