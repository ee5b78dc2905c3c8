"""Keeps several processes behind one port: starts anew what ended, and on SIGHUP replaces them one by one.

The supervisor binds the port once and never accepts: the kernel keeps who connects while no process is there. A process
is started as a new program, so that a restart takes a new release and a changed `.env`; the address and how many there
are stay. One that ends before it listened stops the very first start: its error is everybody's.
"""

import math
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector

from herald.api.http.door import BACKLOG
from herald.api.http.totals import make_file, seats_of
from herald.api.seat import Seat, Worker
from herald.outbox.logs import level_asked
from herald.outbox.restarts import Restarts, describe
from herald.outbox.settings import Settings
from herald.outbox.startup import be_watched
from herald.outbox.stopping import LEAVE, stop_on_signals
from herald.outbox.watched.life import LIFE, came_by, living
from herald.outbox.watched.metrics import tell_build
from herald.outbox.watched.port import PortError

NO_ADDRESS = 3  # exit code, as uvicorn's
LOOK = 0.05  # seconds between two passes
MARGIN = 2.0  # seconds beyond those that processes get to end, until the supervisor is ended hard
_log = structlog.get_logger()


class NotStartedError(Exception):
    """A process ended before it listened; `code` is what the supervisor ends with."""

    def __init__(self, code: int) -> None:
        super().__init__(f"a process of the API ended before it listened ({describe(code)})")
        self.code = code if code > 0 else 1


class Place(Restarts):
    """One of the processes there are to be: who serves, who is to serve instead, and who is leaving for that."""

    def __init__(self) -> None:
        super().__init__()
        self.worker: Worker | None = None
        self.successor: Worker | None = None
        self.leaving: Worker | None = None
        self.is_stale = False

    @property
    def workers(self) -> list[Worker]:
        """All of them."""
        return [one for one in (self.leaving, self.worker, self.successor) if one]


class Supervisor:
    """Of `count` processes; `watch` is one pass."""

    def __init__(self, listeners: Sequence[socket.socket], count: int, counts: Path | None = None) -> None:
        """What processes count is kept in the folder `counts`, where there is one."""
        self._listeners = listeners
        self._counts = counts
        self._totals_file = make_file(count)
        self._places = [Place() for _ in range(count)]
        self._has_started = False  # each place has listened

    def watch(self) -> None:
        """Note who listens and who ended, and start who is due. Raises NotStartedError."""
        for place in self._places:
            for worker in place.workers:
                worker.look()
                worker.follow(level_asked())
            self._let_leave(place)
            self._let_succeed(place)
            self._keep(place)
        self._has_started = self._has_started or all(one.worker and one.worker.is_ready for one in self._places)
        self._replace_next()

    def restart(self) -> None:
        """From now on each process is replaced by a new one, one after the other."""
        _log.info("api_restarting", processes=len(self._places))
        for place in self._places:
            place.is_stale = True

    def stop(self) -> None:
        """Ask all to end, and wait for them; who is still there after 10 seconds is killed."""
        workers = self._workers
        for worker in workers:
            worker.stop()
        for worker in workers:
            worker.end()

    def stuck(self) -> list[str]:
        """Its own threads, and processes of which one is, or that say nothing."""
        return [*LIFE.stuck(), *(f"process {one.pid}" for one in self._workers if one.is_stuck)]

    def missing(self) -> list[str]:
        """What keeps all of them from serving; each answers for its own database on the API's port."""
        return [] if any(one.is_ready for one in self._workers) else ["no process listens"]

    @property
    def _workers(self) -> list[Worker]:
        return [worker for place in self._places for worker in place.workers]

    def _keep(self, place: Place) -> None:
        worker, now = place.worker, time.monotonic()
        if worker and (code := worker.code) is not None:
            worker.end()
            if not self._has_started:
                raise NotStartedError(code)
            wait = place.note_end(now, code=code, started_at=worker.started_at, ready_at=worker.ready_at)
            _log.error("api_process_ended", pid=worker.pid, how=describe(code), again_in_seconds=wait)
            place.worker = None
        if not place.worker and not place.successor and place.due_at <= now:
            self._fill(place, now)

    def _fill(self, place: Place, now: float) -> None:
        try:
            place.worker, place.is_stale = self._start(), False
        except OSError as error:  # memory, processes or files are short: those that serve go on
            wait = place.note_end(now, code=1, started_at=now, ready_at=math.inf)
            _log.error("api_process_not_started", reason=str(error), again_in_seconds=wait)

    def _let_succeed(self, place: Place) -> None:
        successor = place.successor
        if not successor:
            return
        if (code := successor.code) is not None:
            successor.end()
            place.successor = None
            self._give_up_restart(pid=successor.pid, how=describe(code))
        elif successor.is_ready:
            place.leaving, place.worker, place.successor = place.worker, successor, None
            if place.leaving:
                place.leaving.stop()

    @staticmethod
    def _let_leave(place: Place) -> None:
        if place.leaving and place.leaving.code is not None:
            place.leaving.end()
            place.leaving = None

    def _replace_next(self) -> None:
        stale = [place for place in self._places if place.is_stale and place.worker]
        if self._has_started and stale and not any(one.successor or one.leaving for one in self._places):
            try:
                stale[0].successor, stale[0].is_stale = self._start(), False
            except OSError as error:
                self._give_up_restart(reason=str(error))

    def _give_up_restart(self, **why: object) -> None:
        _log.error("api_restart_given_up", **why)
        for place in self._places:
            place.is_stale = False

    def _start(self) -> Worker:
        """Raises OSError."""
        taken = {worker.seat.number for worker in self._workers}
        number = min(set(range(seats_of(len(self._places)))) - taken)
        line, theirs = socket.socketpair()
        with theirs:
            seat = Seat(self._listeners, self._totals_file, len(self._places), number, theirs)
            return Worker(seat, line, self._counts)


def listen(host: str, port: int) -> list[socket.socket]:
    """On every address of the host. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    addresses = dict.fromkeys((family, address) for family, _, _, _, address in found)
    return [socket.create_server(address, family=family, backlog=BACKLOG) for family, address in addresses]


def supervise(settings: Settings, host: str, port: int) -> int:
    """Serve with several processes until SIGTERM or SIGINT; the exit code, 3 where an address cannot be had."""
    with TemporaryDirectory(prefix="herald-", ignore_cleanup_errors=True) as counts:
        return _supervise(settings, host, port, Path(counts) if settings.metrics_port else None)


def _supervise(settings: Settings, host: str, port: int, counts: Path | None) -> int:
    processes = settings.api_processes
    stop, hangups = threading.Event(), deque[int]()
    stop_on_signals(stop, leave_within=LEAVE + MARGIN)
    signal.signal(signal.SIGHUP, lambda number, _: hangups.append(number))
    try:
        supervisor = Supervisor(listen(host, port), processes, counts)
        registry = CollectorRegistry()
        tell_build(registry)
        if counts:
            MultiProcessCollector(registry, str(counts))
        be_watched(settings, registry, missing=supervisor.missing, stuck=supervisor.stuck)
    except (OSError, PortError) as error:
        _log.error("api_cannot_start", reason=str(error))
        return NO_ADDRESS
    _log.info("api_starting", url=f"http://{host}:{port}", docs=f"http://{host}:{port}/docs", processes=processes)
    try:
        with living("supervisor"):
            while not stop.wait(LOOK):
                if hangups:
                    hangups.clear()
                    supervisor.restart()
                supervisor.watch()
                came_by()
    except NotStartedError as error:
        _log.error("api_cannot_start", reason=str(error))
        return error.code
    finally:
        supervisor.stop()
    return 0
