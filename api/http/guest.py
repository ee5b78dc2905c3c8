"""A connection as its door sees it: it has a place, may keep this server waiting, and ends.

It ends when its client was too slow or broke a limit, when another needs its place, and with the server; where an
answer can still say why, it does.
"""

import asyncio
from enum import Enum
from typing import Any, cast

from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from herald.api.http.door import LAST_REQUEST, LINGER, Door
from herald.api.http.refusals import LimitError, no_place

# What comes next from the client; no more where it was refused
Reading = Enum("Reading", ["NOTHING", "HEAD", "BODY", "NO_MORE"])
# An attribute of an Enum costs a look-up by the metaclass: three times a global, several times a request (measured)
NOTHING, HEAD, BODY, NO_MORE = Reading


class GuestConnection(HttpToolsProtocol):
    """Its place, its limits of time, and its end; a subclass reads what comes over it."""

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
        self._refused: LimitError | None = None
        self._began = 0.0  # when the request began that is being read

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

    def _is_resting(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _close_if_resting(self) -> None:
        if self._is_resting():
            self.transport.close()
