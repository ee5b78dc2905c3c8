"""HTTP/1.1 as uvicorn speaks it, with limits; uvicorn itself has none for headers, bodies, time or idle connections.

Nothing here costs a request more than a few comparisons: one watch looks at all connections, where uvicorn sets and
clears a timer for each request.
"""

import asyncio
from enum import Enum, auto
from functools import partial
from http import HTTPStatus
from typing import Any

import httptools
import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from herald.api.http.budget import HELD
from herald.api.http.door import Door
from herald.api.http.limits import FREE_BODY, LINGER, MOST_PIPELINED
from herald.api.http.refusals import refusal

_log = structlog.get_logger()


class Reading(Enum):
    """What comes next from the client."""

    NOTHING = auto()
    HEAD = auto()
    BODY = auto()
    NO_MORE = auto()  # it was refused


# An attribute of an Enum costs a look-up by the metaclass: three times a global, several times a request (measured)
NOTHING, HEAD, BODY, NO_MORE = Reading


class LimitError(Exception):
    """A request breaks a limit, or the protocol; it ends with this answer."""

    def __init__(self, status: HTTPStatus, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.kind, self.detail = status, kind, detail


class LimitedProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, door: Door, **named: Any) -> None:  # noqa: ANN401 - uvicorn's
        super().__init__(**named)
        self._door = door
        self._limits = door.limits
        self._reading = NOTHING
        self._refused: LimitError | None = None
        self._began = 0.0  # when the request began that is being read
        self._arrived = 0  # bytes in the piece that is being parsed
        self._is_behind = False  # whether the request that is being read began in a piece behind another
        self._unparsed = 0  # bytes since the request began, or since the last piece of a body
        self._size = 0  # bytes of the body so far

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Take a place, or be turned away."""
        super().connection_made(transport)
        self._door.enter(self, len(self.connections), self.loop)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the place back; what still runs gives its bytes back when it ends."""
        self._door.waiting.pop(self, None)
        super().connection_lost(exc)
        for cycle, _ in self.pipeline:
            self._give_back(cycle)

    def data_received(self, data: bytes) -> None:
        """Parse what came, unless it breaks a limit."""
        if self._reading is NO_MORE:
            return
        self._arrived = len(data)
        if self._reading is NOTHING:
            self._is_behind = False
        self._unparsed += self._arrived
        try:
            self.parser.feed_data(data)
            if self._unparsed > self._limits.header_bytes and self._reading in {HEAD, BODY}:
                self._refuse(_too_long(self._limits.header_bytes))
        except httptools.HttpParserUpgrade:
            return  # answered as if it had not been asked for
        except httptools.HttpParserError as error:
            self._refuse(self._refused or _told_apart(error))
        except MemoryError as error:
            self._refuse(_failed(error))

    def on_message_begin(self) -> None:
        """A request begins; uvicorn's parser calls this and the next."""
        super().on_message_begin()
        self._reading, self._began = HEAD, self.loop.time()
        self._unparsed = 0 if self._is_behind else self._arrived  # how much of the piece is another's is not known

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; trailers, which follow a body, nobody reads."""
        if self._reading is HEAD:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin to answer."""
        is_suspect = self._is_behind or self._unparsed > self._limits.header_bytes
        if is_suspect and self._head_size() > self._limits.header_bytes:
            self._stop(_too_long(self._limits.header_bytes))
        if len(self.pipeline) >= MOST_PIPELINED:
            detail = f"more than {MOST_PIPELINED} requests at once on one connection"
            self._stop(LimitError(HTTPStatus.SERVICE_UNAVAILABLE, "pipelined", detail))
        super().on_headers_complete()
        self._reading, self._unparsed, self._size = BODY, 0, 0

    def on_body(self, body: bytes) -> None:
        """Hand a piece of the body on, if there is room for it."""
        self._unparsed = 0
        if self.cycle.response_complete:
            return
        before, self._size = self._size, self._size + len(body)
        if self._size > self._limits.body_bytes:
            detail = f"the limit is {self._limits.body_bytes} bytes for any body"
            self._stop(LimitError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body too large", detail))
        if self._size > FREE_BODY:
            self._take(self._size if before <= FREE_BODY else len(body))
        super().on_body(body)

    def on_message_complete(self) -> None:
        """From now on it is this server's turn, unless it has answered already."""
        super().on_message_complete()
        self._reading, self._is_behind = NOTHING, True
        self._door.waiting.pop(self, None)
        if self.cycle.response_complete:
            self._door.waiting[self] = self.loop.time()

    def on_response_complete(self) -> None:
        """Wait for the next request, or answer the one that came meanwhile."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            self._door.waiting.setdefault(self, self.loop.time())  # until its client has read the answer
            return
        self.flow.resume_reading()
        if not self.pipeline:
            if self._reading is NO_MORE and self._refused:
                self._say(self._refused)  # it came behind those that were taken
            self._door.waiting.setdefault(self, self.loop.time())
            return
        cycle, app = self.pipeline.pop()
        self._start_asgi_task(cycle, app)
        if cycle.more_body:
            self._door.waiting.setdefault(self, self.loop.time())

    def shutdown(self) -> None:
        """The server ends: finish what is being answered."""
        super().shutdown()
        if self._reading is NO_MORE and self in self._door.waiting:
            self.transport.close()

    def end_if_late(self, now: float, since: float) -> None:
        """Its client has kept this server waiting since then."""
        match self._reading:
            case Reading.NO_MORE:
                is_late = now - since > LINGER
            case Reading.HEAD | Reading.BODY:
                self._end_if_unsent(now - self._began)
                return
            case Reading.NOTHING if self.transport.get_write_buffer_size():
                is_late = now - since > self._limits.request_seconds  # it does not read its answer
            case Reading.NOTHING:
                is_late = now - since > (self._limits.idle_seconds if self.cycle else self._limits.header_seconds)
        if is_late:
            if self._reading is NOTHING and not self.cycle:
                self._door.refusals.count("silent", now)
            self.transport.abort()

    def make_room(self) -> None:
        """Another needs its place."""
        if self._reading in {NOTHING, NO_MORE}:
            self._door.refusals.count("connections", self.loop.time())
            self.transport.abort()
            return
        self._refuse(_no_place(self._limits.connections))
        self.transport.close()  # at once where its client reads, else when LINGER is over

    def turn_away(self) -> None:
        """There is no place for it."""
        self._reading = NO_MORE
        self._door.refusals.count("connections", self.loop.time())
        self._say(_no_place(self._limits.connections))
        self.transport.close()

    def _end_if_unsent(self, seconds: float) -> None:
        limits = self._limits
        if self._reading is HEAD and seconds > limits.header_seconds:
            detail = f"the header did not come within {limits.header_seconds:g} s"
            self._refuse(LimitError(HTTPStatus.REQUEST_TIMEOUT, "slow header", detail))
        elif seconds > limits.request_seconds:
            detail = f"the request did not come within {limits.request_seconds:g} s"
            self._refuse(LimitError(HTTPStatus.REQUEST_TIMEOUT, "slow body", detail))

    def _stop(self, why: LimitError) -> None:
        """End the parsing as well: raises what the parser turns into an error of its own."""
        self._refused = why
        raise why

    def _refuse(self, why: LimitError) -> None:
        """Answer, behind the requests that were taken; listen no more, and close once the client could read why."""
        self._door.refusals.count(why.kind, self.loop.time())
        cycle, is_body = self.cycle, self._reading is BODY
        self._reading, self._refused = NO_MORE, why
        if cycle and is_body and self.pipeline:
            self._give_back(self.pipeline.popleft()[0])  # the newest: what is refused was taken with its header
            return
        if cycle and not cycle.response_complete and not is_body:
            return  # earlier requests are being answered
        if cycle and not cycle.response_complete and cycle.response_started:
            self.transport.abort()  # half an answer to this one is under way
            return
        if cycle and not cycle.response_complete:
            cycle.disconnected = True  # for its handler, the client is gone
            cycle.message_event.set()
        if not (cycle and is_body and cycle.response_complete):
            self._say(why)
        self.flow.resume_reading()
        self._door.waiting[self] = self.loop.time()

    def _say(self, why: LimitError) -> None:
        self.transport.write(refusal(why.status, why.detail))
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def _take(self, count: int) -> None:
        state: dict[str, Any] = self.cycle.scope["state"]
        own = state.get(HELD, 0)
        if not self._door.budget.take(count, own=own):
            detail = "too many large bodies at once, try again"
            self._stop(LimitError(HTTPStatus.SERVICE_UNAVAILABLE, "bodies", detail))
        state[HELD] = own + count

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:  # noqa: ANN401 - an ASGI application
        task = self.loop.create_task(cycle.run_asgi(app))
        task.add_done_callback(partial(self._ended, cycle))
        self.tasks.add(task)

    def _ended(self, cycle: RequestResponseCycle, task: "asyncio.Task[None]") -> None:
        self.tasks.discard(task)
        self._give_back(cycle)

    def _give_back(self, cycle: RequestResponseCycle) -> None:
        self._door.budget.give_back(cycle.scope["state"].pop(HELD, 0))

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)


def _told_apart(error: httptools.HttpParserError) -> LimitError:
    """The parser hides what its callbacks raise: only what they say of the request is the client's fault."""
    cause, is_ours = error.__context__, isinstance(error, httptools.HttpParserCallbackError)
    if is_ours and cause is not None and not isinstance(cause, ValueError | httptools.HttpParserError):
        return _failed(cause)
    return LimitError(HTTPStatus.BAD_REQUEST, "malformed", "this is not HTTP/1.1")


def _failed(error: BaseException) -> LimitError:
    _log.error("request_not_read", reason=str(error) or type(error).__name__, exc_info=error)
    detail = "the server cannot read this now; the log says why, try again"
    return LimitError(HTTPStatus.SERVICE_UNAVAILABLE, "not read", detail)


def _too_long(limit: int) -> LimitError:
    detail = f"the header is longer than the limit of {limit} bytes"
    return LimitError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "header too long", detail)


def _no_place(limit: int) -> LimitError:
    return LimitError(HTTPStatus.SERVICE_UNAVAILABLE, "connections", f"all {limit} connections are taken, try again")
