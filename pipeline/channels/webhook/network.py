"""Connections for httpcore2 that lead only where they may, and end when the delivery's time is over.

Every address that the resolver names is checked, and the connection goes to the checked address itself:
no second look-up can answer differently. Where it ended is checked again: Linux takes 0.0.0.0 for 127.0.0.1.
Each read and write gets what is left of the whole delivery's time, so that a byte now and then keeps
nothing open.
"""

import select
import socket
import ssl
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any

import httpcore2
from httpcore2 import NetworkBackend, NetworkStream

from herald.pipeline.channels.webhook.public_addresses import AddressGuard
from herald.pipeline.deliver.deadline import Deadline, within
from herald.pipeline.deliver.lack import told_apart


class Call:
    """One delivery on its way: until when, and whether any of it may have arrived."""

    def __init__(self, deadline: Deadline) -> None:
        self.deadline = deadline
        self.went_out = False


current: ContextVar[Call] = ContextVar("current")  # of this thread: connections outlive calls


class GuardedBackend(NetworkBackend):
    """Opens connections; `guard` says where to."""

    def __init__(self, guard: AddressGuard) -> None:
        self._guard = guard

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - the call's deadline is tighter
        local_address: str | None = None,  # noqa: ARG002 - none is ever asked for
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002 - the same
    ) -> NetworkStream:
        """Connect to the first address that answers, when all of them may be connected to.

        Raises ForbiddenAddressError, httpcore2.ConnectError, httpcore2.ConnectTimeout.
        """
        deadline = current.get().deadline
        places = _resolve(host, port, deadline)
        for _, place in places:
            self._guard.check(_plain(place))
        connection = _connect(places, deadline)
        try:
            self._guard.check(_plain(connection.getpeername()))
        except BaseException:
            connection.close()
            raise
        return GuardedStream(connection)


class GuardedStream(NetworkStream):
    """A connection whose every step keeps the deadline of the call at hand."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002 - the deadline is tighter
        """Raises httpcore2.ReadTimeout, httpcore2.ReadError."""
        try:
            self._connection.settimeout(current.get().deadline.left())
            return self._connection.recv(max_bytes)
        except TimeoutError as error:
            raise httpcore2.ReadTimeout(str(error)) from error
        except OSError as error:
            raise httpcore2.ReadError(str(error)) from error

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002 - the deadline is tighter
        """Raises httpcore2.WriteTimeout, httpcore2.WriteError."""
        call, left = current.get(), memoryview(buffer)
        call.went_out = True
        try:
            while left:
                self._connection.settimeout(call.deadline.left())
                left = left[self._connection.send(left) :]
        except TimeoutError as error:
            raise httpcore2.WriteTimeout(str(error)) from error
        except OSError as error:
            raise httpcore2.WriteError(str(error)) from error

    def close(self) -> None:
        """Close it."""
        self._connection.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002 - the call's deadline is tighter
    ) -> NetworkStream:
        """Raises httpcore2.ConnectTimeout, httpcore2.ConnectError."""
        try:
            # the handshake may take many reads: one timeout for each would let it drip
            plain, deadline = self._connection, current.get().deadline
            plain.settimeout(deadline.left())
            secured = within(deadline, lambda: ssl_context.wrap_socket(plain, server_hostname=server_hostname))
        except TimeoutError as error:
            self.close()
            raise httpcore2.ConnectTimeout("the TLS handshake took too long") from error
        except OSError as error:
            self.close()
            reason = error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else error.strerror
            message = f"TLS failed: {reason or type(error).__name__}"
            raise httpcore2.ConnectError(message) from error
        return GuardedStream(secured)

    def get_extra_info(self, info: str) -> object:
        """What httpcore2 asks for to know whether an idle connection was closed."""
        if info == "ssl_object" and isinstance(self._connection, ssl.SSLSocket):
            return self._connection
        if info == "socket":
            return self._connection
        if info == "is_readable":
            return _is_readable(self._connection)
        return None


Place = tuple[socket.AddressFamily, tuple[Any, ...]]


def _resolve(host: str, port: int, deadline: Deadline) -> list[Place]:
    try:
        found = within(deadline, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    except TimeoutError as error:
        raise httpcore2.ConnectTimeout("the resolver did not answer in time") from error
    except (OSError, UnicodeError) as error:
        raise httpcore2.ConnectError("the host name cannot be resolved") from error
    return [(family, place) for family, _, _, _, place in found]


def _plain(place: tuple[Any, ...]) -> str:
    """The address of a socket; with its zone, which a guard refuses."""
    address, _port, *more = place
    return f"{address}%{more[1]}" if more and more[1] and "%" not in address else str(address)


def _connect(places: list[Place], deadline: Deadline) -> socket.socket:
    """The first that answers; each gets its share of the time, so that a dead one leaves some to the next."""
    failure = OSError("no address")
    for behind, (family, place) in zip(range(len(places), 0, -1), places, strict=True):
        try:
            return _connected(family, place, deadline.left() / behind)
        except OSError as error:
            failure = error
    try:
        raise failure  # so that it stays the context: httpcore2 drops what an error was raised from
    except TimeoutError as error:
        raise httpcore2.ConnectTimeout("no connection in time") from error
    except OSError as error:
        message = f"no connection: {error.strerror or error}"
        raise httpcore2.ConnectError(message) from error


def _connected(family: socket.AddressFamily, place: tuple[Any, ...], timeout: float) -> socket.socket:
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout)
        connection.connect(place)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError as error:
        connection.close()
        raise told_apart(error, family) from None
    return connection


def _is_readable(connection: socket.socket) -> bool:
    """Between calls, a connection with something to read was closed by the other side, or is out of step."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))
