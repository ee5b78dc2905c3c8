"""A TCP proxy between two processes: as the network between them, it can be slow, silent or cut.

Whoever connects to it is led to `target`: a port of this machine, or the path of a Unix socket.
"""

import asyncio
import contextlib
import random
import socket
import struct
import threading
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ENDED = (OSError, asyncio.CancelledError)  # only _close cancels; Python 3.11 would print each of these
CHUNK = 65_536  # bytes
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends RST
SETTLED = 10.0  # seconds that a command to the proxy may take
ANSWER = 0.2  # seconds to let the server do what it was asked, when its answer is withheld


class Link:
    """One connection through the proxy; a `dead` one swallows everything for ever, as a half-open one does."""

    def __init__(self, client: StreamWriter, server: StreamWriter) -> None:
        self.client, self.server = client, server
        self.is_dead = False

    def close(self) -> None:
        for writer in (self.client, self.server):
            writer.close()

    def reset(self) -> None:
        """Both sides see their connection break."""
        for writer in (self.client, self.server):
            with contextlib.suppress(OSError):
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            writer.transport.abort()


class Proxy:
    """Listens on 127.0.0.1 until the `with` ends; commands hold for connections there are, and for those to come.

    `links` counts the connections that were led through, `severed` those whose answer was withheld.
    """

    def __init__(self, target: int | Path, *, port: int = 0) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", port), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        self.links = self.severed = 0
        self._open: set[Link] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._flowing = asyncio.Event()
        self._refuses = self._swallows = False
        self._delay = self._loss = 0.0
        self._severs: tuple[bytes, int] | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._listen())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def lead_to(self, target: int | Path) -> None:
        """Lead new connections there, and break those there are."""
        self._target = target
        self.cut()

    def cut(self) -> None:
        """Break every connection there is (RST); new ones are served."""
        self._call(self._cut)

    def refuse(self) -> None:
        """Break every connection there is, and every new one at once."""
        self._call(lambda: self._change(refuses=True))
        self.cut()

    def hold(self) -> None:
        """Let no byte through, lose none: what was sent meanwhile arrives after `heal`."""
        self._call(self._flowing.clear)

    def swallow(self) -> None:
        """Half-open: what is sent is taken and lost, new connections too; those never come to life again."""
        self._call(lambda: self._change(swallows=True))

    def slow(self, seconds: float, *, loss: float = 0.0, seed: int = 0) -> None:
        """Each piece of data comes that much later; a share `loss` of them five times as late, as if sent again."""
        self._random = random.Random(seed)  # noqa: S311 - a replayable network
        self._call(lambda: self._change(delay=seconds, loss=loss))

    def sever(self, after: bytes, *, times: int = 1) -> None:
        """Let the server act on what a client sends that holds `after`, and break the connection unanswered."""
        self._call(lambda: self._change(severs=(after, times)))

    def heal(self) -> None:
        """End all of that, except for connections that have swallowed something."""
        self._call(lambda: self._change(severs=None))
        self._call(self._flowing.set)

    def _change(
        self,
        *,
        refuses: bool = False,
        swallows: bool = False,
        delay: float = 0.0,
        loss: float = 0.0,
        severs: tuple[bytes, int] | None = None,
    ) -> None:
        self._refuses, self._swallows, self._delay, self._loss, self._severs = refuses, swallows, delay, loss, severs
        for link in self._open:
            link.is_dead |= swallows

    def _cut(self) -> None:
        for link in self._open:
            link.reset()

    def _call(self, act: Callable[[], None]) -> None:
        async def acting() -> None:
            act()

        self._do(acting())

    def _do(self, what: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(SETTLED)

    async def _listen(self) -> None:
        self._flowing.set()
        self._server = await asyncio.start_server(self._lead, sock=self._listener)

    async def _close(self) -> None:
        self._server.close()
        self._cut()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _lead(self, reader: StreamReader, writer: StreamWriter) -> None:
        """One connection, until both sides have ended."""
        try:
            link, answers = await self._link(reader, writer)
        except ENDED:
            Link(writer, writer).reset()
            return
        self._open.add(link)
        self.links += 1
        try:
            await asyncio.gather(self._pump(link, reader, link.server), self._pump(link, answers, writer))
        except ENDED:
            link.reset()
        finally:
            link.close()
            self._open.discard(link)

    async def _link(self, reader: StreamReader, writer: StreamWriter) -> tuple[Link, StreamReader]:
        """Reach the target for a client; raises OSError, at once or when the client gives up."""
        if self._refuses:
            raise ConnectionRefusedError
        while self._swallows:
            if not await reader.read(CHUNK):
                raise ConnectionAbortedError
        answers, server = await self._reach()
        return Link(writer, server), answers

    async def _reach(self) -> tuple[StreamReader, StreamWriter]:
        if isinstance(self._target, Path):
            return await asyncio.open_unix_connection(self._target)
        return await asyncio.open_connection("127.0.0.1", self._target)

    async def _pump(self, link: Link, source: StreamReader, sink: StreamWriter) -> None:
        """One direction, until its source ends; what is delayed keeps its order, and does not delay what follows."""
        pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        sending = asyncio.ensure_future(self._send(link, pieces, sink))
        try:
            while data := await source.read(CHUNK):
                if sending.done():
                    break
                await pieces.put((self._loop.time() + self._lateness(), data))
            await pieces.put((0.0, b""))
            await sending
        finally:
            sending.cancel()

    def _lateness(self) -> float:
        is_lost = self._loss > 0 and self._random.random() < self._loss
        return self._delay * (5 if is_lost else 1)

    async def _send(self, link: Link, pieces: "asyncio.Queue[tuple[float, bytes]]", sink: StreamWriter) -> None:
        while True:
            due, data = await pieces.get()
            await asyncio.sleep(max(0.0, due - self._loop.time()))
            await self._flowing.wait()
            if not data:
                if not link.is_dead:
                    sink.close()
                return
            if link.is_dead:
                continue
            sink.write(data)
            if sink is link.server and self._severs and self._severs[0] in data:
                await self._sever(link, sink)
                return
            await sink.drain()

    async def _sever(self, link: Link, sink: StreamWriter) -> None:
        after, times = self._severs or (b"", 0)
        self._severs = (after, times - 1) if times > 1 else None
        link.is_dead = True
        self.severed += 1
        await sink.drain()
        await asyncio.sleep(ANSWER)
        link.reset()
