"""A TCP connection within a deadline, name resolution included."""

import socket
from collections.abc import Sequence
from typing import Any

from herald.pipeline.deliver.deadline import Deadline, within
from herald.pipeline.deliver.lack import told_apart

Place = tuple[socket.AddressFamily, tuple[Any, ...]]


def resolve(host: str, port: int, deadline: Deadline) -> list[Place]:
    """Where a host's connections may go. Raises OSError, which TimeoutError is as well."""
    # getaddrinfo knows no timeout and takes half a minute where no name server answers
    try:
        found = within(deadline, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    except UnicodeError:
        raise OSError(f"{host} is no host name") from None
    return [(family, address) for family, _, _, _, address in found]


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
