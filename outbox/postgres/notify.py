"""Tells the relay that something was committed, without making anybody wait.

NOTIFY inside the business transaction takes a lock that serialises every commit in the cluster
(measured: half the throughput), so it goes out afterwards, on a connection of its own.
"""

import threading
from collections.abc import Callable

import structlog

from herald.outbox.postgres.connections import reason
from herald.outbox.postgres.driver import Connection, PostgresError
from herald.outbox.postgres.statements import execute, fetch_value
from herald.outbox.threads import Thread
from herald.outbox.watched.life import living, waiting

CHANNEL = "current_schema() || '_outbox'"  # in SQL: another Herald in the same database wakes its own relay
DEBOUNCE = 0.002  # seconds between two notifications at least
STOP_TIMEOUT = 2.0  # seconds
RETRY = 1.0  # seconds until a lost connection is opened again; the relay's own poll bridges them
_log = structlog.get_logger()


def notify(connection: Connection) -> None:
    """Wake whoever listens, as soon as this is committed. Raises PostgresError."""
    execute(connection, f"SELECT pg_notify({CHANNEL}, '')")


def listen(connection: Connection) -> None:
    """From the next commit on be woken. Raises PostgresError."""
    channel = fetch_value(connection, f"SELECT quote_ident({CHANNEL})")
    execute(connection, f"LISTEN {channel}")


class Notifier:
    """A thread that sends NOTIFY at most once per 2 ms, and once more at the end if one is owed."""

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._connection: Connection | None = None
        self._owed = threading.Event()
        self._stop = threading.Event()
        self._thread = Thread(self._run, "notifier")

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wake(self) -> None:
        """Ask for a notification soon; costs nothing and never blocks."""
        self._owed.set()

    def stop(self) -> None:
        """Send what is owed and end; waits 2 seconds at most, the relay's poll finds the rest."""
        self._stop.set()
        self._owed.set()
        self._thread.join(STOP_TIMEOUT)

    def _run(self) -> None:
        with living("notifier"):
            while not self._stop.is_set():
                with waiting():
                    self._owed.wait()
                self._stop.wait(DEBOUNCE if self._notified() else RETRY)
        self._notified()
        if self._connection is not None:
            self._connection.close()

    def _notified(self) -> bool:
        self._owed.clear()
        try:
            if self._connection is None:
                self._connection = self._connect()
                self._connection.autocommit = True
            notify(self._connection)
        except PostgresError as error:
            _log.warning("notify_failed", reason=reason(error), consequence="the relay's poll finds it within 1 s")
            self._connection = None
            self._owed.set()
            return False
        return True
