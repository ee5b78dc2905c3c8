"""Connections for aiohttp that lead only where they may, and what comes back over them.

Every address that the resolver names is checked, and the connection goes to the checked address itself: no second
look-up can answer differently. Where it ended is checked again: Linux takes 0.0.0.0 for 127.0.0.1.

aiohttp's connector asks `_create_connection` for a connection: this one of its methods is replaced, and what reads the
connection is a `Connection`. The pool above and the parser below are aiohttp's own. None of these names is documented:
another minor version is tried before it is allowed.
"""

import asyncio
import os
import re
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler

from herald.outbox.destination.urls import Url
from herald.pipeline.channel import TemporaryError
from herald.pipeline.channels.webhook.public_addresses import Network, check_address
from herald.pipeline.deliver.causes import drop_tracebacks
from herald.pipeline.deliver.deadline import Deadline
from herald.pipeline.deliver.dialling import Resolver, dial

IDLE = 10.0  # seconds that a connection is kept for the next call
MOST_IDLE = 1000  # connections; the one that rests longest makes room
MOST_BEFORE_STATUS = 8192  # bytes of an answer that has none yet
MOST_OF_HEAD = 262_144  # bytes of an answer until its headers are read, with what of its body came along
BROKEN = (aiohttp.ClientError, OSError)
RESOLVING = "the resolver did not answer in time"
CONNECTING = "no connection in time"
SECURING = "the TLS handshake took too long"
_STATUS = re.compile(rb"HTTP/1\.[01] ([2-5]\d\d)(?: [^\r\n]*)?\r?\n")
_INTERIM = re.compile(rb"HTTP/1\.[01] 1\d\d.*?\r?\n\r?\n", re.DOTALL)


class Call:
    """One delivery on its way: where to, until when, and how far it came.

    `late`: what did not come in time if the deadline is now; None from when any of it may have arrived. `status`: the
    answer's, from its first line on, whatever comes behind; `has_head`: all its headers are read.
    """

    def __init__(self, url: Url, deadline: Deadline) -> None:
        self.url = url
        self.deadline = deadline
        self.late: str | None = RESOLVING
        self.status: int | None = None
        self.has_head = False
        self.connection: Connection | None = None
        self._size = 0
        self._head = b""

    def take(self, data: bytes) -> bool:
        """Bytes of its answer; whether there may be more."""
        if self.has_head:
            return True
        self._size += len(data)
        if self.status is None:
            self._head = _INTERIM.sub(b"", self._head + data)
            if found := _STATUS.match(self._head):
                self.status, self._head = int(found[1]), b""
        return self._size <= MOST_OF_HEAD and len(self._head) <= MOST_BEFORE_STATUS

    def end(self) -> None:
        """What comes over its connection from now on is no answer to it."""
        if self.connection is not None:
            self.connection.rest(self)


current: ContextVar[Call] = ContextVar("current")  # of this task: connections outlive calls


class GuardedConnector(aiohttp.BaseConnector):
    """Opens connections to public addresses, and to those in `allowed` networks."""

    def __init__(self, allowed: Sequence[Network], trusted: ssl.SSLContext) -> None:
        super().__init__(limit=0, keepalive_timeout=IDLE)
        self._allowed = allowed
        self._trusted = trusted
        self._resolver = Resolver()
        self._reading = partial(Connection, asyncio.get_running_loop(), {})

    async def _create_connection(self, *_asked: object) -> ResponseHandler:
        """Connect to the first address that answers, when all of them may be connected to.

        Raises ForbiddenAddressError, TemporaryError, TimeoutError.
        """
        call = current.get()
        url = call.url
        with _told(lambda _: "the host name cannot be resolved"):
            places = await self._resolver.resolve(url.host, url.port)
        for _, place in places:
            check_address(_plain(place), allowed=self._allowed)
        call.late = CONNECTING
        with _told(lambda error: f"no connection: {os.strerror(error.errno) if error.errno else error}"):
            connection = await dial(places, call.deadline)
        try:
            check_address(_plain(connection.getpeername()), allowed=self._allowed)
        except BaseException:
            connection.close()
            raise
        loop = asyncio.get_running_loop()
        if url.scheme == "http":
            _, protocol = await loop.create_connection(self._reading, sock=connection)
            return protocol
        call.late = SECURING
        with _told(_tls_failure):
            _, protocol = await loop.create_connection(
                self._reading, sock=connection, ssl=self._trusted, server_hostname=url.host
            )
        return protocol


class Connection(ResponseHandler):
    """aiohttp's end of a connection. It shows each call its status, and `resting` are those that wait for one."""

    def __init__(self, loop: asyncio.AbstractEventLoop, resting: dict["Connection", None]) -> None:
        super().__init__(loop)
        self._resting = resting
        self._call: Call | None = None

    def set_response_params(self, **parameters: Any) -> None:
        """Called just before a request is written."""
        self._resting.pop(self, None)
        self._call = current.get()
        self._call.late, self._call.connection = None, self
        super().set_response_params(**parameters)

    def data_received(self, data: bytes) -> None:
        """What nobody asked for, or does not end, ends the connection."""
        if data and (self._call is None or not self._call.take(data)):
            self.abort()
        else:
            super().data_received(data)

    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        """What was written until then is let go of: the task that writes has its own error in a variable."""
        super().set_exception(exc, *cause)
        drop_tracebacks(exc)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._resting.pop(self, None)
        super().connection_lost(exc)

    def close(self) -> None:
        """At once: a transport that is only closed goes on sending to whoever does not read."""
        self.abort()

    def rest(self, call: Call) -> None:
        """That call has ended; the next one may have begun already."""
        if self._call is not call:
            return
        self._call = None
        if self.is_connected():
            self._resting[self] = None
        if len(self._resting) > MOST_IDLE:
            next(iter(self._resting)).close()


@contextmanager
def _told(reason: Callable[[OSError], str]) -> Iterator[None]:
    """Errors before anything was sent; what they were raised from stays their cause."""
    try:
        yield
    except TimeoutError:
        raise
    except OSError as error:
        raise TemporaryError(reason(error), code="connection") from error


def _tls_failure(error: OSError) -> str:
    reason = error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else error.strerror
    return f"TLS failed: {reason or type(error).__name__}"


def _plain(place: tuple[Any, ...]) -> str:
    """The address of a socket; with its zone, which is refused."""
    address, _port, *more = place
    return f"{address}%{more[1]}" if more and more[1] and "%" not in address else str(address)
