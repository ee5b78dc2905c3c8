"""Whoever sends in a transaction of their own wakes nobody: the relay looks at the sequence that they draw from.

A draw shows before its transaction ends, so what runs then is looked after until it has ended. One look reads a single
row; looks come every 5 ms after a draw, and ever more rarely, every 100 ms at last.
"""

import math
import time

from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.prepared import prepare
from herald.outbox.postgres.statements import execute, fetch_one
from herald.outbox.relay.session import wait_for_news

SOONEST, LATEST = 0.005, 0.1  # seconds between two looks
PART = 0.1  # of the time since the last draw: so long is the rest until the next look
BEGINNING = 0.05  # seconds after a draw in which the log is read at each look: most transactions end within them

# A snapshot lists who runs below the newest that has ended: this one begins after whoever drew, and ends at once.
_END_LATER = "SELECT pg_current_xact_id()"
_LOOK = prepare("look_at_sends", "SELECT last_value, is_called, pg_current_snapshot()::text FROM sends")


class Sends:
    """What was drawn, and which of the transactions that may have drawn it have not ended."""

    def __init__(self) -> None:
        self._drawn: list[object] = []  # the last value, and whether it was drawn: the first is there before
        self._drawn_at = -math.inf
        self._is_owed = False  # to find out who was running
        self._running: set[str] = set()

    def wait(self, connection: Connection, timeout: float) -> None:
        """Rest for `timeout` seconds, or until a notification or a send may have brought something."""
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            if wait_for_news(connection, min(left, self._rest())) or self.look(connection):
                return

    def look(self, connection: Connection) -> bool:
        """Whether something was drawn, or may have been committed, since the last look. Raises PostgresError."""
        *drawn, snapshot = fetch_one(connection, _LOOK)
        if drawn != self._drawn:
            self._drawn, self._drawn_at, self._is_owed = drawn, time.monotonic(), True
        if time.monotonic() - self._drawn_at < BEGINNING:
            return True
        if self._is_owed:
            execute(connection, _END_LATER)
            self._is_owed, snapshot = False, fetch_one(connection, _LOOK)[-1]
            self._running = _running(snapshot)
            return True
        before, self._running = self._running, self._running & _running(snapshot)
        return before != self._running

    def _rest(self) -> float:
        return min(LATEST, max(SOONEST, PART * (time.monotonic() - self._drawn_at)))


def _running(snapshot: str) -> set[str]:
    return set(snapshot.split(":")[2].split(",")) - {""}
