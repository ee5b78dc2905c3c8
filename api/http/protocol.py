"""HTTP/1.1 as uvicorn speaks it, with limits; uvicorn itself has none for headers, bodies, time or idle connections.

Nothing here costs a request more than a few comparisons: one watch looks at all connections, where uvicorn sets and
clears a timer for each request.
"""

import asyncio
from enum import Enum
from typing import Any, cast

import httptools
from uvicorn import Config
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from herald.api.http.door import FREE_BODY, LAST_REQUEST, LINGER, MOST_PIPELINED, Door
from herald.api.http.joined import JoinedAnswer
from herald.api.http.refusals import LimitError, header_too_long, no_place, not_read

# What comes next from the client; no more where it was refused
Reading = Enum("Reading", ["NOTHING", "HEAD", "BODY", "NO_MORE"])
# An attribute of an Enum costs a look-up by the metaclass: three times a global, several times a request (measured)
NOTHING, HEAD, BODY, NO_MORE = Reading


class LimitedProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(
        self,
        door: Door,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._door = door
        self._settings = door.settings
        self._reading = NOTHING
        self._answer: JoinedAnswer | None = None  # to the request that is being answered
        self._refused: LimitError | None = None
        self._began = 0.0  # when the request began that is being read
        self._arrived = 0  # bytes in the piece that is being parsed
        self._is_behind = False  # whether the request that is being read began in a piece behind another
        self._unparsed = 0  # bytes since the request began, or since the last piece of a body
        self._size = 0  # bytes of the body so far

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a place, or be turned away."""
        super().connection_made(cast("asyncio.Transport", transport))
        self._door.enter(self, len(self.connections), self.loop)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the place back; what still runs gives its bytes back when it ends."""
        super().connection_lost(exc)
        self._door.leave(self, len(self.connections))
        for cycle, _ in self.pipeline:
            self._door.budget.release(cycle.scope["state"])

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
            if self._unparsed > self._settings.max_header and self._reading in {HEAD, BODY}:
                self._refuse(header_too_long(self._settings.max_header))
        except httptools.HttpParserUpgrade:
            return  # answered as if it had not been asked for
        except (httptools.HttpParserError, MemoryError) as error:
            self._refuse(self._refused or not_read(error))

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
        is_suspect = self._is_behind or self._unparsed > self._settings.max_header
        if is_suspect and self._head_size() > self._settings.max_header:
            self._stop(header_too_long(self._settings.max_header))
        if len(self.pipeline) >= MOST_PIPELINED:
            self._stop(LimitError("pipelined", f"more than {MOST_PIPELINED} requests at once on one connection"))
        super().on_headers_complete()
        if self._door.is_closing:
            self.cycle.keep_alive = False
        self._reading, self._unparsed, self._size = BODY, 0, 0

    def on_body(self, body: bytes) -> None:
        """Hand a piece of the body on, if there is room for it."""
        self._unparsed = 0
        if self.cycle.response_complete:
            return
        before, self._size = self._size, self._size + len(body)
        if self._size > self._door.body_bytes:
            self._stop(LimitError("body too large", f"the limit is {self._door.body_bytes} bytes for any body"))
        if self._size > FREE_BODY:
            counted = self._size if before <= FREE_BODY else len(body)
            if not self._door.budget.hold(self.cycle.scope["state"], counted):
                self._stop(LimitError("bodies", "too many large bodies at once, try again"))
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
        if self._answer:
            self._answer.flush()
        if self.transport.is_closing():
            self._door.waiting.setdefault(self, self.loop.time())  # until its client has read the answer
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
            if not cycle.more_body:
                return
        elif self._reading is NO_MORE and self._refused:
            self._say(self._refused)  # it came behind those that were taken
        self._door.waiting.setdefault(self, self.loop.time())

    def shutdown(self) -> None:
        """The server ends: answer what is being asked or is on its way; uvicorn would end at once who rests."""
        if self._reading is NO_MORE and self in self._door.waiting:
            self.transport.close()
        elif self._is_resting():
            self.loop.call_later(LAST_REQUEST, self._close_if_resting)
        else:
            self.cycle.keep_alive = False

    def end_if_late(self, now: float, since: float) -> None:
        """Its client has kept this server waiting since then."""
        settings = self._settings
        if self._reading in {HEAD, BODY}:
            seconds = now - self._began
            if self._reading is HEAD and seconds > settings.header_timeout:
                self._refuse(LimitError("slow header", f"the header did not come within {settings.header_timeout:g} s"))
            elif seconds > settings.request_timeout:
                self._refuse(LimitError("slow body", f"the request did not come within {settings.request_timeout:g} s"))
            return
        patience = settings.idle_timeout if self.cycle else settings.header_timeout
        if self._reading is NO_MORE:
            patience = LINGER
        elif self.transport.get_write_buffer_size():
            patience = settings.request_timeout  # it does not read its answer
        if now - since > patience:
            if self._reading is NOTHING and not self.cycle:
                self._door.refusals.count("silent", now)
            self.transport.abort()

    def make_room(self) -> None:
        """Another needs its place."""
        if self._reading in {NOTHING, NO_MORE}:
            self._door.refusals.count("connections", self.loop.time())
            self.transport.abort()
            return
        self._refuse(no_place(self._door.connections))
        self.transport.close()  # at once where its client reads, else when LINGER is over

    def turn_away(self) -> None:
        """There is no place for it."""
        self._reading = NO_MORE
        self._door.refusals.count("connections", self.loop.time())
        self._say(no_place(self._door.connections))
        self.transport.close()

    def _is_resting(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _close_if_resting(self) -> None:
        if self._is_resting():
            self.transport.close()

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
            newest, _ = self.pipeline.popleft()  # what is refused was taken with its header
            self._door.budget.release(newest.scope["state"])
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
        self.transport.write(why.response)
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        def end(task: "asyncio.Task[None]") -> None:
            self.tasks.discard(task)
            self._door.budget.release(cycle.scope["state"])

        self._answer = JoinedAnswer(self.transport)
        cycle.transport = cast("Any", self._answer)
        task = self.loop.create_task(cycle.run_asgi(app))
        task.add_done_callback(end)
        self.tasks.add(task)

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
