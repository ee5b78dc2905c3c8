"""`herald api`: the HTTP server, in one process or under a supervisor of several."""

import asyncio
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from types import FrameType
from typing import Any, ParamSpec, TypeVar, cast

import rich_click as click
import structlog
import uvicorn
from litestar.concurrency import set_asyncio_executor
from uvicorn._types import ASGI3Application

from herald.api.accepting import Acceptor
from herald.api.app import make_app
from herald.api.http.door import BACKLOG, Door
from herald.api.http.ends import Ends
from herald.api.http.protocol import LimitedProtocol
from herald.api.http.requests import tell
from herald.api.http.resources import Budget, Resources
from herald.api.routes.health import lacking_here
from herald.api.seat import BEAT, Seat
from herald.api.supervisor import NO_ADDRESS, supervise
from herald.outbox.acceptance.committer import Committer
from herald.outbox.logs import configure_logs
from herald.outbox.postgres.engine import make_engine
from herald.outbox.postgres.fitness import UnfitError
from herald.outbox.settings import Settings, load_settings
from herald.outbox.startup import UnreadableLogError, be_watched, usable, wait_for_database
from herald.outbox.threads import Thread
from herald.outbox.watched import traces
from herald.outbox.watched.api import METRICS
from herald.outbox.watched.life import LIFE, living
from herald.outbox.watched.port import PortError

FIRST_LOOK = 1.0  # seconds that the start waits for the database
GRACE = 5  # seconds that open requests get to finish
P = ParamSpec("P")
T = TypeVar("T")
_log = structlog.get_logger()


@click.command("api")
@click.option("--host", help="Address to listen on.  [default: HERALD_HOST, or 127.0.0.1]")
@click.option("--port", type=click.IntRange(1, 65535), help="Port to listen on.  [default: HERALD_PORT, or 8000]")
def command(host: str | None, port: int | None) -> None:
    """Accept notifications and messages over HTTP.

    Starts even while the database is away, and is ready (GET /health/ready) once it answers. Ends with exit code 1
    where the log holds events that only another release can read, and where Herald cannot work in the database.
    SIGTERM and Ctrl-C finish the open requests first. With HERALD_API_PROCESSES above 1 a supervisor keeps so many
    processes behind the port, and SIGHUP replaces them one by one. The documentation is at /docs.
    """
    with usable():
        settings = load_settings()
    configure_logs("api")
    host, port = host or settings.host, port or settings.port
    if settings.api_processes > 1:
        sys.exit(supervise(settings, host, port))
    serve(settings, host=host, port=port)


class Reads(ThreadPoolExecutor):
    """Threads that are looked after while they read."""

    def submit(self, act: Callable[P, T], /, *values: P.args, **named: P.kwargs) -> Future[T]:
        """As any executor's."""

        def watched() -> T:
            with living("reads", may_fail=True):
                return act(*values, **named)

        return super().submit(watched)


def make_executor(size: int) -> ThreadPoolExecutor:
    """Has all its threads from the start: where memory lacks later, whoever began one would wait without end."""
    executor, met = Reads(size, thread_name_prefix="reads"), threading.Barrier(size)
    for begun in [executor.submit(met.wait) for _ in range(size)]:
        begun.result()
    return executor


class Server(uvicorn.Server):
    """uvicorn, which tells its door that it closes; on a seat it accepts as that says, and says that it lives."""

    def __init__(self, config: uvicorn.Config, door: Door, seat: Seat | None, ends: Ends) -> None:
        super().__init__(config)
        self._ends = ends
        self._door = door
        self._seat = seat
        self._acceptors: list[Acceptor] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        seat = self._seat
        await super().startup(sockets=[] if seat else sockets)
        if seat:
            self._acceptors = [Acceptor(one, self._make_protocol, seat.totals) for one in seat.listeners]
            seat.totals.listening.own = 1
        self._beat()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer what is being asked, and end."""
        self._door.is_closing = True
        self._ends.close()
        for acceptor in self._acceptors:
            acceptor.close()
        if self._seat:
            self._seat.totals.listening.own = 0
        await super().shutdown(sockets=[*self._seat.listeners] if self._seat else sockets)
        tell()

    def _make_protocol(self) -> asyncio.Protocol:
        make: Callable[..., asyncio.Protocol] = self.config.http_protocol_class
        return make(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

    def _beat(self) -> None:
        """The loop turns. A process with a stuck thread is replaced as one that says nothing is."""
        asyncio.get_running_loop().call_later(BEAT, self._beat)  # first: whatever the rest does, it beats on
        LIFE.came_by()
        if self._seat:
            self._seat.say_stuck() if LIFE.stuck() else self._seat.say_alive()
        tell()


def serve(settings: Settings, *, host: str, port: int, seat: Seat | None = None) -> None:
    """Serve until SIGTERM or SIGINT, with a seat where others serve the port as well.

    Exits with 3 when the address cannot be had, with 1 when the log is unreadable.
    """
    exit_code = 0
    with usable():
        traces.begin("api")

    def look() -> None:
        nonlocal exit_code
        try:
            wait_for_database(settings, threading.Event())
        except (UnfitError, UnreadableLogError) as error:
            _log.error("api_cannot_start", reason=str(error))
            exit_code = 1
            os.kill(os.getpid(), signal.SIGTERM)

    def end(_number: int, _frame: FrameType | None) -> None:
        sys.exit(exit_code)

    signal.signal(signal.SIGTERM, end)  # uvicorn raises the signal again when it has shut down: this makes it exit 0
    signal.signal(signal.SIGINT, end)
    first_look = Thread(look, "first-look")
    first_look.start()
    first_look.join(FIRST_LOOK)  # normally no request comes before it; a database that is away delays nobody
    set_asyncio_executor(make_executor(settings.pool_size))
    body_bytes = seat.totals.body_bytes if seat else None
    budget = Budget(settings.memory // 2, body_bytes)  # the other half is for what becomes of the bodies: texts, SQL
    resources = Resources(settings, Committer(settings), make_engine(settings, "herald-api"), budget)
    if not seat:
        _be_watched(resources)
        _log.info("api_starting", url=f"http://{host}:{port}", docs=f"http://{host}:{port}/docs")
    try:
        with living("event loop"):
            make_server(resources, host=host, port=port, seat=seat).run()
    finally:
        traces.end()


def _be_watched(resources: Resources) -> None:
    """Of several processes the supervisor answers for all."""
    try:
        be_watched(
            resources.settings,
            METRICS.registry,
            readiness=resources.readiness,
            missing=lambda: lacking_here(resources),
        )
    except PortError as error:
        _log.error("api_cannot_start", reason=str(error))
        sys.exit(NO_ADDRESS)


def make_server(resources: Resources, *, host: str, port: int, seat: Seat | None = None) -> Server:
    """A server that `run` runs until SIGTERM or SIGINT: uvicorn, with limits; with a seat on that one's sockets."""
    total = seat.totals.connections if seat else None
    door = Door(resources.settings, resources.budget, total, resources.gate.refusals)
    config = uvicorn.Config(
        cast("ASGI3Application", make_app(resources)),
        host=host,
        port=port,
        interface="asgi3",  # uvicorn would take what is no coroutine function for another one
        http=cast("Any", partial(LimitedProtocol, door)),
        ws="none",
        backlog=BACKLOG,
        access_log=False,
        log_config=None,
        proxy_headers=False,  # no answer depends on the caller's address; the middleware costs every request
        server_header=False,
        headers=[("x-content-type-options", "nosniff")],  # an answer is what it says, not what a browser finds in it
        timeout_graceful_shutdown=GRACE,
    )
    return Server(config, door, seat, resources.ends)
