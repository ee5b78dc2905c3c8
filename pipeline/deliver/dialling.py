"""A TCP connection within a deadline, name resolution included; in a thread, and on a loop."""

import asyncio
import socket
from collections.abc import Sequence
from functools import partial
from typing import Any

from herald.pipeline.deliver.deadline import Deadline, in_thread, within
from herald.pipeline.deliver.lack import told_apart

Place = tuple[socket.AddressFamily, tuple[Any, ...]]

MOST_LOOK_UPS = 1000  # names at once, each in a thread that outlives its call where no name server answers
RECEIVE_BUFFER = 32_768  # bytes that the system reads ahead for a call on the loop: a thousand of them are open


def resolve(host: str, port: int, deadline: Deadline) -> list[Place]:
    """Where a host's connections may go. Raises OSError, which TimeoutError is as well."""
    return within(deadline, partial(_look_up, host, port))


def connect(places: Sequence[Place], deadline: Deadline) -> socket.socket:
    """A connection to the first that answers. Raises OSError.

    One that swallows packets leaves its share of the time to those after it.
    """
    failure = OSError("no address")
    for tried, place in enumerate(places):
        try:
            return _connected(place, deadline.left() / (len(places) - tried))
        except OSError as error:
            failure = error
    raise failure


class Resolver:
    """Looks up names on a loop. Who asks for one that is being looked up waits for the same answer.

    So a name whose servers are silent holds one thread, however many calls go there.
    """

    def __init__(self) -> None:
        self._asked: dict[tuple[str, int], asyncio.Future[list[Place]]] = {}

    async def resolve(self, host: str, port: int) -> list[Place]:
        """Where a host's connections may go. Raises OSError; its caller has a deadline.

        Raises RuntimeError as a machine without threads does, where too many names are being looked up.
        """
        place = host, port
        asked = self._asked.get(place)
        if asked is None:
            if len(self._asked) >= MOST_LOOK_UPS:
                raise RuntimeError(f"can't start new thread: {MOST_LOOK_UPS} names are being looked up")
            asked = self._asked[place] = in_thread(partial(_look_up, host, port))
            asked.add_done_callback(lambda _: self._asked.pop(place))
        return await asyncio.shield(asked)


async def dial(places: Sequence[Place], deadline: Deadline) -> socket.socket:
    """`connect` on a loop: the same shares of the time, the same errors."""
    failure = OSError("no address")
    for tried, place in enumerate(places):
        try:
            async with asyncio.timeout(deadline.left() / (len(places) - tried)):
                return await _dialled(place)
        except OSError as error:
            failure = error
    raise failure


def _look_up(host: str, port: int) -> list[Place]:
    # getaddrinfo knows no timeout and takes half a minute where no name server answers
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError:
        raise OSError(f"{host} is no host name") from None
    return [(family, address) for family, _, _, _, address in found]


def _connected(place: Place, timeout: float) -> socket.socket:
    family, address = place
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout)
        connection.connect(address)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError as error:
        connection.close()
        raise told_apart(error, family) from None
    return connection


async def _dialled(place: Place) -> socket.socket:
    family, address = place
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        connection.settimeout(0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        await asyncio.get_running_loop().sock_connect(connection, address)
    except OSError as error:
        connection.close()
        raise told_apart(error, family) from None
    except BaseException:
        connection.close()
        raise
    return connection
