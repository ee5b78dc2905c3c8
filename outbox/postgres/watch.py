"""A limit of time on this side of a connection, for when the server's own cannot be heard.

`statement_timeout` ends a statement on the server. Where the network has swallowed statement or answer, nobody
here learns of that, and libpq waits for ever. TCP keepalives notice a host that is gone, but not a
proxy, a service mesh or a load balancer in between, which goes on to answer them. So a thread looks twice a second for
connections that have waited for too long. It asks the server to cancel (a COMMIT that waits for its synchronous
standby has no timeout), and then shuts the socket: libpq reports that the server is away.

With it go those that rest, and were not heard either since it fell silent: each would take as long to be found out.
"""

import contextlib
import os
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import structlog

from herald.outbox.postgres.driver import Connection, Cursor, PostgresError
from herald.outbox.threads import Thread
from herald.outbox.watched.life import came_by, living, waiting

MARGIN = 1.0  # seconds beyond the server's own limit, for its answer to arrive
GRACE = 2.0  # seconds for a cancel to have an effect
LOOK = 0.5  # seconds between two looks
_watched: "weakref.WeakSet[WatchedConnection]" = weakref.WeakSet()
# whoever has it may shut a socket; nobody leaves a call meanwhile, closes the socket and has its number used again
_lock = threading.Lock()
_started = threading.Lock()
_never = threading.Event()
_log = structlog.get_logger()


class WatchedCursor(Cursor):
    """A cursor whose statements end in time."""

    connection: "WatchedConnection"

    def execute(self, *arguments: Any) -> None:
        """Raises OperationalError when the server is not heard in time."""
        with self.connection.watched():
            super().execute(*arguments)


class WatchedConnection(Connection):
    """A connection whose calls take `limit` seconds at most."""

    limit: float = float("inf")
    open_another: Callable[[], Connection]
    backend: int  # process id of its session on the server
    _busy_since: float | None = None
    heard_at: float  # when a call was answered last, by the monotonic clock
    _is_cancelled = False

    def commit(self) -> None:
        """Raises OperationalError when the server is not heard in time."""
        with self.watched():
            super().commit()

    def rollback(self) -> None:
        """Raises OperationalError when the server is not heard in time."""
        with self.watched():
            super().rollback()

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """What is called in here has the limit."""
        self._is_cancelled = False
        self._busy_since = time.monotonic()
        try:
            with waiting(self.limit + GRACE):
                yield
            self.heard_at = time.monotonic()
        finally:
            with _lock:
                self._busy_since = None

    def end_if_late(self) -> float | None:
        """Cancel, and later shut, what has taken too long; returns since when it was silent, if it was shut.

        Only the thread that watches calls it.
        """
        silent_since = None
        with _lock:
            late = 0.0 if self._busy_since is None else time.monotonic() - self._busy_since - self.limit
            if late > GRACE:
                silent_since = self._busy_since
                self._shut()
        if late > 0 and not self._is_cancelled:
            with contextlib.suppress(RuntimeError):  # no thread can be started now: the next look tries again
                # a thread of its own: in a network that swallows everything it is never answered either
                Thread(self._ask_to_cancel, "cancel").start()
                self._is_cancelled = True
        return silent_since

    def end_if_unheard(self, since: float, *, looked_at: float) -> None:
        """Shut it if it was not heard since then, and rested at that look; only the thread that watches calls it."""
        with _lock:
            rested = self._busy_since is None or self._busy_since >= looked_at
            if rested and self.heard_at < since:
                self._shut()

    def _ask_to_cancel(self) -> None:
        # not by libpq's own cancel: the connection may be closed meanwhile, and what that uses would be freed
        with (
            contextlib.suppress(PostgresError),
            contextlib.closing(self.open_another()) as another,
            another.cursor() as statement,
        ):
            statement.execute("SELECT pg_cancel_backend(%s)", (self.backend,))

    def _shut(self) -> None:
        with contextlib.suppress(OSError, PostgresError), socket.socket(fileno=os.dup(self.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)


def watch(opened: WatchedConnection, limit: float, open_another: Callable[[], Connection]) -> None:
    """From now on its calls take `limit` seconds at most; what is late is cancelled over another connection."""
    opened.limit, opened.open_another, opened.backend = limit, open_another, opened.info.backend_pid
    opened.heard_at = time.monotonic()
    opened.cursor_factory = WatchedCursor
    with _lock:
        _watched.add(opened)
    if _started.acquire(blocking=False):  # for good: one thread, with the first connection
        try:
            Thread(_run, "watch").start()
        except RuntimeError:  # no thread can be started now: the next connection tries again
            _started.release()
            raise


def _run() -> None:
    with living("watch"):
        while True:
            _never.wait(LOOK)
            came_by()
            try:
                _look()
            except Exception:  # noqa: BLE001 - without this thread nothing has a limit any more
                _log.exception("watch_failed")


def _look() -> None:
    looked_at = time.monotonic()  # who begins a call from here on would have been found at rest
    with _lock:
        found = list(_watched)
    silent = [since for one in found if (since := one.end_if_late()) is not None]
    for one in found if silent else ():
        one.end_if_unheard(max(silent), looked_at=looked_at)
