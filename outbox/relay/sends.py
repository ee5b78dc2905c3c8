"""Whoever sends in a transaction of their own wakes nobody: the relay looks at the sequence that they draw from.

A draw shows before its transaction ends, so what runs then is looked after until it has ended. One look reads a single
row; looks come every 5 ms after a draw, and ever more rarely, every 100 ms at last.
"""

import math
import time

from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.prepared import prepare
from herald.outbox.postgres.statements import fetch_one
from herald.outbox.relay.session import wait_for_news

SOONEST, LATEST = 0.005, 0.1  # seconds between two looks
PART = 0.1  # of the time since the last draw: so long is the rest until the next look
BEGINNING = 0.05  # seconds after a draw in which its transaction gets the id by which its end is seen

_LOOK = prepare("look_at_sends", "SELECT last_value, is_called, pg_current_snapshot()::text FROM sends")


class Sends:
    """What was drawn, and which of the transactions that may have drawn it have not ended."""

    def __init__(self) -> None:
        self._drawn: list[object] = []  # the last value, and whether it was drawn: the first is there before
        self._drawn_at = -math.inf
        self._running: set[str] = set()

    @property
    def is_beginning(self) -> bool:
        """Whether something was drawn so lately that its transaction may not have an id yet."""
        return time.monotonic() - self._drawn_at < BEGINNING

    def wait(self, connection: Connection, timeout: float) -> None:
        """Rest for `timeout` seconds, or until a notification or a send may have brought something."""
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            if wait_for_news(connection, min(left, self._rest())) or self.look(connection):
                return

    def look(self, connection: Connection) -> bool:
        """Whether something was drawn, or may have been committed, since the last look. Raises PostgresError."""
        *drawn, snapshot = fetch_one(connection, _LOOK)
        running = set(snapshot.split(":")[2].split(",")) - {""}
        has_moved, self._drawn = drawn != self._drawn, drawn
        has_ended = bool(self._running - running)
        self._running &= running
        if has_moved:
            self._drawn_at = time.monotonic()
        if self.is_beginning:
            self._running |= running
        return has_moved or has_ended

    def _rest(self) -> float:
        return min(LATEST, max(SOONEST, PART * (time.monotonic() - self._drawn_at)))
