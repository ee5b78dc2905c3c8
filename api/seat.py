"""A process of several: what it gets from its supervisor, as file descriptors, and how the supervisor sees it."""

import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import structlog

from herald.api.http.totals import Totals
from herald.outbox.logs import AS_SET
from herald.outbox.stopping import LEAVE
from herald.outbox.threads import Thread
from herald.outbox.watched.metrics import FOLDER, SEAT

BEAT = 1.0  # seconds between two signs of life of a process that listens
SILENT = 500  # looks of the supervisor, 25 seconds, without a sign of life until a process counts as stuck
UNHEARD = 1200  # looks of the supervisor, a minute, without a sign of life until a process is killed
ALIVE, STUCK = b".", b"!"  # what a process says of itself
PROGRAM = (sys.executable, "-P", "-m", "herald.api.worker")
_log = structlog.get_logger()


@dataclass(frozen=True)
class Seat:
    """One of the port's: the sockets that listen, the memory of the totals, and a line between the two processes.

    On the line a process says again and again that it listens. It ends with whichever of the two ends.
    """

    listeners: Sequence[socket.socket]
    totals_file: int
    processes: int
    number: int
    line: socket.socket

    @classmethod
    def taken(cls, arguments: Sequence[str]) -> Self:
        """From the arguments that a supervisor made."""
        line, totals_file, processes, number, *listeners = map(int, arguments)
        return cls(
            [socket.socket(fileno=one) for one in listeners], totals_file, processes, number, socket.socket(fileno=line)
        )

    @property
    def arguments(self) -> list[str]:
        """What `taken` takes."""
        listeners = (one.fileno() for one in self.listeners)
        return list(map(str, (self.line.fileno(), self.totals_file, self.processes, self.number, *listeners)))

    @property
    def files(self) -> list[int]:
        """The descriptors that it consists of."""
        return [self.line.fileno(), self.totals_file, *(one.fileno() for one in self.listeners)]

    @cached_property
    def totals(self) -> Totals:
        """As this seat sees them."""
        return Totals(self.totals_file, processes=self.processes, seat=self.number)

    def leave_with_supervisor(self) -> None:
        """From now on this process gets a SIGTERM when its supervisor is gone, even by kill -9."""
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a hangup reaches all processes of a terminal; it is not ours
        Thread(self._wait, "line").start()

    def say_alive(self) -> None:
        """Say that it listens."""
        self._say(ALIVE)

    def say_stuck(self) -> None:
        """Say that one of its threads is: from then on it counts as such, and is killed as one that says nothing."""
        self._say(STUCK)

    def _say(self, what: bytes) -> None:
        with suppress(OSError):  # nobody has listened for an hour
            self.line.send(what, socket.MSG_DONTWAIT)

    def _wait(self) -> None:
        with suppress(OSError):
            while self.line.recv(1):
                pass
        os.kill(os.getpid(), signal.SIGTERM)


class Worker:
    """A process on a seat, as its supervisor sees it; moments by the monotonic clock. Raises OSError at its start."""

    def __init__(self, seat: Seat, line: socket.socket, counts: Path | None = None) -> None:
        """`counts` is a folder for what it counts."""
        self.seat = seat
        self._totals = seat.totals  # from now on: its memory cannot lack when the process ends
        self.started_at, self.ready_at, self._kill_at = time.monotonic(), math.inf, math.inf
        counting = {FOLDER: str(counts), SEAT: str(seat.number)} if counts else {}
        self._process = subprocess.Popen(
            [*PROGRAM, *seat.arguments],
            stdin=subprocess.DEVNULL,
            pass_fds=seat.files,
            env={**os.environ, **counting},
        )
        self.pid = self._process.pid
        self._line = line
        self._unheard = 0
        self._level = AS_SET
        self._says_stuck = False

    @property
    def code(self) -> int | None:
        """None while it runs, -N when signal N ended it."""
        return self._process.poll()

    @property
    def is_stuck(self) -> bool:
        """Whether one of its threads is, as it says, or as its silence does."""
        return self.is_ready and (self._says_stuck or self._unheard > SILENT)

    @property
    def is_ready(self) -> bool:
        """Whether it has listened."""
        return self.ready_at < math.inf

    def look(self) -> None:
        """Hear whether it lives; kill it where it has been silent, or told to stop, for too long."""
        now = time.monotonic()
        self._unheard += 1
        with suppress(OSError):
            if said := self._line.recv(64, socket.MSG_DONTWAIT):
                self._says_stuck = said.endswith(STUCK)
                self._unheard = self._unheard if self._says_stuck else 0
                self._note_ready(now)
        if self.code is None and (self._unheard > UNHEARD or now >= self._kill_at):
            _log.error("api_process_killed", pid=self.pid, silent_passes=self._unheard)
            self._process.kill()

    def follow(self, level: signal.Signals) -> None:
        """Have it log as its supervisor does, once it listens and until it is to end: else the signal might end it."""
        if self.is_ready and self._kill_at == math.inf and level != self._level:
            self._level = level
            self._process.send_signal(level)

    def stop(self) -> None:
        """Ask it to end; looks kill it if it does not in time."""
        self._kill_at = time.monotonic() + LEAVE
        self._process.send_signal(signal.SIGTERM)

    def end(self) -> None:
        """Wait as long as it has, where it was asked to end, then kill it; what it had counted is taken out."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(max(0.0, self._kill_at - time.monotonic()) if self._kill_at < math.inf else 0.0)
        self._process.kill()
        self._process.wait()
        self._line.close()
        self._totals.clear()

    def _note_ready(self, now: float) -> None:
        if not self.is_ready:
            self.ready_at = now
            _log.info("api_process_listens", pid=self.pid)
