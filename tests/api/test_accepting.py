"""Who takes a connection where several processes wait at one socket."""

import asyncio
import errno
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from herald.api import accepting
from herald.api.accepting import Acceptor
from herald.api.http.totals import Totals, make_file

Act = Callable[[Totals, Totals, "Listener", list[str]], Awaitable[None]]


class Listener(socket.socket):
    """May have no file left for a connection."""

    lacks = 0

    def accept(self) -> tuple[socket.socket, Any]:
        if self.lacks:
            self.lacks -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


def seen_by(act: Act) -> list[str]:
    """Whose connections came, in a loop with the seats of two processes at one socket."""
    file, taken = make_file(2), list[str]()
    mine, others = (Totals(file, processes=2, seat=seat) for seat in (0, 1))
    os.close(file)
    mine.listening.own = others.listening.own = 1

    async def run(listener: Listener) -> None:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        async with asyncio.timeout(10):
            await act(mine, others, listener, taken)

    with Listener() as listener:
        asyncio.run(run(listener))
    return taken


class Greeting(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(b".")


def accept(listener: Listener, totals: Totals, name: str, taken: list[str]) -> Acceptor:
    def make() -> asyncio.Protocol:
        taken.append(name)
        return Greeting()

    return Acceptor(listener, make, totals)


async def come(listener: Listener) -> None:
    """Connect, and wait until somebody has taken it."""
    reader, writer = await asyncio.open_connection(*listener.getsockname())
    await reader.readexactly(1)
    writer.close()


def test_who_has_more_than_the_mean_leaves_what_comes_to_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accepting, "MOMENT", 60.0)

    async def act(mine: Totals, others: Totals, listener: Listener, taken: list[str]) -> None:
        mine.connections.own = 5
        acceptors = [accept(listener, mine, "mine", taken)]
        coming = asyncio.create_task(come(listener))
        for _ in range(10):  # turns of the loop, in which it sees who comes
            await asyncio.sleep(0)
        acceptors.append(accept(listener.dup(), others, "others", taken))
        await coming
        for acceptor in acceptors:
            acceptor.close()

    assert seen_by(act) == ["others"]


def test_what_the_others_leave_is_taken_after_a_moment() -> None:
    async def act(mine: Totals, _others: Totals, listener: Listener, taken: list[str]) -> None:
        mine.connections.own = 5
        acceptor = accept(listener, mine, "mine", taken)
        await come(listener)
        await come(listener)
        acceptor.close()

    assert seen_by(act) == ["mine", "mine"]


def test_without_a_file_for_a_connection_it_is_taken_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accepting, "LACK", 0.01)

    async def act(mine: Totals, _others: Totals, listener: Listener, taken: list[str]) -> None:
        listener.lacks = 2
        acceptor = accept(listener, mine, "mine", taken)
        await come(listener)
        acceptor.close()

    assert seen_by(act) == ["mine"]
