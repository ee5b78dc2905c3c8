"""Which of several processes takes a connection: one that has no more than the others.

All wait at one socket, and whoever wakes first would take all that come: the 32 connections of one caller stayed with
one process (measured). So who has more than the mean leaves what comes to the others for a moment, and takes it then.
"""

import asyncio
import errno
import socket
from collections.abc import Callable

import structlog

from herald.api.http.totals import Totals

MOMENT = 0.002  # seconds; a busy machine may not let the others run sooner
AT_ONCE = 4  # connections that nobody has taken in that time: 2,000 a second where the others hang
LACK = 1.0  # seconds until the next try where this process may open no more files
BROKEN = {errno.ECONNABORTED, errno.EPROTO}  # by a client that has left already
_log = structlog.get_logger()


class Acceptor:
    """Takes connections from one socket that listens, for one process."""

    def __init__(self, listener: socket.socket, make_protocol: Callable[[], asyncio.Protocol], totals: Totals) -> None:
        self._listener = listener
        self._make_protocol = make_protocol
        self._totals = totals
        self._loop = asyncio.get_running_loop()
        self._waits: asyncio.TimerHandle | None = None
        self._opening: set[asyncio.Task[object]] = set()
        listener.settimeout(0)
        self._listen()

    def close(self) -> None:
        """Take no more; the socket stays open."""
        self._loop.remove_reader(self._listener)
        if self._waits:
            self._waits.cancel()

    def _listen(self) -> None:
        self._loop.add_reader(self._listener, self._look)

    def _look(self) -> None:
        connections, processes = self._totals.connections, self._totals.listening.all
        if connections.own * processes > connections.all:
            self._come_back(MOMENT, self._take_what_is_left)
        else:
            self._take()

    def _take_what_is_left(self) -> None:
        self._listen()
        for _ in range(AT_ONCE):
            if not self._take():
                break

    def _take(self) -> bool:
        try:
            opened, _ = self._listener.accept()
        except BlockingIOError:  # another was faster
            return False
        except OSError as error:
            if error.errno in BROKEN:
                return True
            _log.error("connection_not_taken", reason=str(error))
            self._come_back(LACK, self._listen)
            return False
        opened.settimeout(0)
        task: asyncio.Task[object] = self._loop.create_task(
            self._loop.connect_accepted_socket(self._make_protocol, opened)
        )
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)
        return True

    def _come_back(self, seconds: float, then: Callable[[], None]) -> None:
        self._loop.remove_reader(self._listener)
        self._waits = self._loop.call_later(seconds, then)
