"""HTTP/1.1 as uvicorn speaks it, with limits; uvicorn itself has none for headers, bodies, time or idle connections.

Nothing here costs a request more than a few comparisons: one watch looks at all connections, where uvicorn sets and
clears a timer for each request.
"""

import asyncio
from typing import Any, cast

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from herald.api.http.door import FREE_BODY, MOST_PIPELINED
from herald.api.http.guest import BODY, HEAD, NO_MORE, NOTHING, GuestConnection
from herald.api.http.joined import JoinedAnswer
from herald.api.http.refusals import LimitError, header_too_long, not_read


class LimitedProtocol(GuestConnection):
    """One connection."""

    _answer: JoinedAnswer | None = None  # to the request that is being answered
    _arrived = 0  # bytes in the piece that is being parsed
    _is_behind = False  # whether the request that is being read began in a piece behind another
    _unparsed = 0  # bytes since the request began, or since the last piece of a body
    _size = 0  # bytes of the body so far

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

    def _stop(self, why: LimitError) -> None:
        """End the parsing as well: raises what the parser turns into an error of its own."""
        self._refused = why
        raise why

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
