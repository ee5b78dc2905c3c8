"""One thread with an asyncio loop, for handlers and channels that are coroutines: a thousand calls may be open.

The loop runs nothing else. A coroutine that blocks it holds up the other calls here, but neither claims, leases nor
probes, and a second thread names it in the log.
"""

import asyncio
import contextlib
import sys
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from inspect import CO_COROUTINE
from time import monotonic
from typing import Any, cast

import structlog

from herald.outbox.destination.policies import channel_of
from herald.outbox.threads import Thread
from herald.outbox.watched.life import came_by, living
from herald.pipeline.deliver.attempt import Attempt
from herald.pipeline.deliver.crew import Crew
from herald.pipeline.sparing import OncePer

BLOCKED = 1.0  # seconds without any other coroutine's turn
LOOK = 0.5  # seconds between two looks at the loop, while calls are open
TELL_AGAIN = 60.0  # seconds between two lines about the same topic and channel
CLOSING = 5.0  # seconds for what is closed at the end
CURE = "no other call goes on meanwhile: what blocks belongs into a plain function, which runs in a thread"

_log = structlog.get_logger()


@dataclass(eq=False)
class Loop(Crew):
    """It begins with the first call, unless it was started before: a machine may lack what it takes by then."""

    _loop: asyncio.AbstractEventLoop | None = field(default=None, init=False)
    _calls: dict[asyncio.Task[None], Attempt] = field(default_factory=dict, init=False)
    _is_woken: bool = field(default=False, init=False)
    _ident: int = field(default=0, init=False)
    _closed: threading.Event = field(default_factory=threading.Event, init=False)
    _once: OncePer = field(default_factory=lambda: OncePer(TELL_AGAIN), init=False)

    @property
    def is_busy(self) -> bool:
        """Nine of ten are enough: between two rounds of the loop some have ended."""
        return len(self._calls) >= self.most - self.most // 10

    @property
    def _is_full(self) -> bool:
        return len(self._calls) >= self.most

    def start(self) -> asyncio.AbstractEventLoop:
        """The loop, which runs now. Raises RuntimeError where no thread can be started, OSError without descriptors."""
        if self._loop is None:
            loop = asyncio.new_event_loop()
            Thread(self._run, "calls", args=(loop,)).start()
            Thread(self._watch, "calls-watch", args=(loop,)).start()
            self._loop = loop
        return self._loop

    def wake(self) -> None:
        """Have all that is ready begun, as far as calls may be open."""
        if self._is_woken or self._is_full or not self.destinations.has_ready or self._closed.is_set():
            return
        loop, self._is_woken = self.start(), True
        loop.call_soon_threadsafe(self._begin)

    def close(self, closing: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Cancel what is open, then run this, once; without the lock. What takes more than 5 s is left."""
        if self._closed.is_set():
            return
        self._closed.set()
        if self._loop is None:
            asyncio.run(closing())
            return
        with contextlib.suppress(TimeoutError, CancelledError):
            asyncio.run_coroutine_threadsafe(self._close(closing), self._loop).result(CLOSING)
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        self._ident = threading.get_ident()
        try:
            with living("calls"):
                self._beat(loop)
                loop.run_forever()
        finally:
            loop.close()

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        came_by()
        loop.call_later(LOOK, self._beat, loop)

    def _begin(self) -> None:
        """On the loop: take what may begin."""
        with self.lock:
            self._is_woken = False
            while not self._is_full and (taken := self.destinations.take()) is not None:
                attempt, _ = taken
                self._calls[asyncio.create_task(self._deliver(attempt))] = attempt

    async def _deliver(self, attempt: Attempt) -> None:
        try:
            started = monotonic()
            outcome = await self.perform(attempt)
            self.end(attempt, outcome, monotonic() - started)
        except BaseException as error:  # noqa: BLE001 - told to whoever can end the process
            _log.error("delivery_failed", reason=str(error), exc_info=error)
            self.on_error(error)
        self._calls.pop(cast("asyncio.Task[None]", asyncio.current_task()))
        if not (self._is_woken or self._closed.is_set()):
            self._is_woken = True
            asyncio.get_running_loop().call_soon(self._begin)

    async def _close(self, closing: Callable[[], Coroutine[Any, Any, None]]) -> None:
        for call in list(self._calls):
            call.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)
        await closing()

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        while not self._closed.wait(LOOK):
            if not self._calls:
                continue
            turn = threading.Event()
            loop.call_soon_threadsafe(turn.set)
            if turn.wait(BLOCKED):
                continue
            self._tell(asyncio.current_task(loop))
            while not (turn.wait(LOOK) or self._closed.is_set()):
                pass

    def _tell(self, blocking: "asyncio.Task[Any] | None") -> None:
        """By its message where a call blocks itself, and not a task that it began."""
        attempt = self._calls.get(blocking) if blocking is not None else None
        topic, channel = (attempt.request.topic, channel_of(attempt.destination)) if attempt else (None, None)
        if self._once.allows((topic, channel)):
            message = str(attempt.request.id) if attempt else None
            said = {"id": message, "at": _place(self._ident), "seconds": BLOCKED, "next": CURE}
            _log.error("loop_blocked", topic=topic, channel=channel, **said)


def _place(ident: int) -> str | None:
    """Where the innermost coroutine of this thread stands, as `file:line in function`."""
    frame = sys._current_frames().get(ident)  # noqa: SLF001 - documented; there is no other way to another thread's
    while frame is not None and not frame.f_code.co_flags & CO_COROUTINE:
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_qualname}" if frame else None
