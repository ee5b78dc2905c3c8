"""Connections for httpcore2 that lead only where they may, and end when the delivery's time is over.

Every address that the resolver names is checked, and the connection goes to the checked address itself:
no second look-up can answer differently. Where it ended is checked again: Linux takes 0.0.0.0 for 127.0.0.1.
Each read and write gets what is left of the whole delivery's time, so that a byte now and then keeps
nothing open; the timeouts that httpcore2 asks for are never shorter, and left unread.
"""

import select
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any

import httpcore2
from httpcore2 import NetworkBackend, NetworkStream

from herald.pipeline.channels.webhook.public_addresses import Network, check_address
from herald.pipeline.deliver.deadline import Deadline, within
from herald.pipeline.deliver.dialling import connect, resolve


class Call:
    """One delivery on its way: until when, and whether any of it may have arrived."""

    def __init__(self, deadline: Deadline) -> None:
        self.deadline = deadline
        self.went_out = False


BROKEN = (httpcore2.TimeoutException, httpcore2.NetworkError, httpcore2.ProtocolError, OSError)
current: ContextVar[Call] = ContextVar("current")  # of this thread: connections outlive calls


class GuardedBackend(NetworkBackend):
    """Opens connections to public addresses, and to those in `allowed` networks."""

    def __init__(self, allowed: Sequence[Network]) -> None:
        self._allowed = allowed

    def connect_tcp(self, host: str, port: int, *_args: object, **_more: object) -> NetworkStream:
        """Connect to the first address that answers, when all of them may be connected to.

        Raises ForbiddenAddressError, httpcore2.ConnectError, httpcore2.ConnectTimeout.
        """
        deadline = current.get().deadline
        with _connecting("the resolver did not answer in time", lambda _: "the host name cannot be resolved"):
            places = resolve(host, port, deadline)
        for _, place in places:
            check_address(_plain(place), allowed=self._allowed)
        with _connecting("no connection in time", lambda error: f"no connection: {error.strerror or error}"):
            connection = connect(places, deadline)
        try:
            check_address(_plain(connection.getpeername()), allowed=self._allowed)
        except BaseException:
            connection.close()
            raise
        return GuardedStream(connection)


class GuardedStream(NetworkStream):
    """A connection whose every step keeps the deadline of the call at hand."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def read(self, max_bytes: int, *_args: object, **_more: object) -> bytes:
        """Raises httpcore2.ReadTimeout, httpcore2.ReadError."""
        with _raising(httpcore2.ReadTimeout, httpcore2.ReadError):
            self._connection.settimeout(current.get().deadline.left())
            return self._connection.recv(max_bytes)

    def write(self, buffer: bytes, *_args: object, **_more: object) -> None:
        """Raises httpcore2.WriteTimeout, httpcore2.WriteError."""
        call, left = current.get(), memoryview(buffer)
        call.went_out = True
        with _raising(httpcore2.WriteTimeout, httpcore2.WriteError):
            while left:
                self._connection.settimeout(call.deadline.left())
                left = left[self._connection.send(left) :]

    def close(self) -> None:
        self._connection.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, *_args: object, **_more: object
    ) -> NetworkStream:
        """Raises httpcore2.ConnectTimeout, httpcore2.ConnectError."""
        plain, deadline = self._connection, current.get().deadline
        try:
            with _connecting("the TLS handshake took too long", _tls_failure):
                plain.settimeout(deadline.left())
                # it may take many reads: one timeout for each would let it drip
                secured = within(deadline, lambda: ssl_context.wrap_socket(plain, server_hostname=server_hostname))
        except BaseException:
            self.close()
            raise
        return GuardedStream(secured)

    def get_extra_info(self, info: str) -> object:
        """What httpcore2 asks for to know whether an idle connection was closed."""
        if info == "is_readable":
            return _is_readable(self._connection)
        is_asked = info == "socket" or (info == "ssl_object" and isinstance(self._connection, ssl.SSLSocket))
        return self._connection if is_asked else None


def _connecting(late: str, failure: Callable[[OSError], str]) -> AbstractContextManager[None]:
    return _raising(httpcore2.ConnectTimeout, httpcore2.ConnectError, lambda _: late, failure)


@contextmanager
def _raising(
    late_error: type[httpcore2.TimeoutException],
    failure_error: type[httpcore2.NetworkError],
    late: Callable[[OSError], str] = str,
    failure: Callable[[OSError], str] = str,
) -> Iterator[None]:
    """Errors of the network as httpcore2 has them; what they were raised from stays their context."""
    try:
        yield
    except TimeoutError as error:
        raise late_error(late(error)) from error
    except OSError as error:
        raise failure_error(failure(error)) from error


def _tls_failure(error: OSError) -> str:
    reason = error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else error.strerror
    return f"TLS failed: {reason or type(error).__name__}"


def _plain(place: tuple[Any, ...]) -> str:
    """The address of a socket; with its zone, which is refused."""
    address, _port, *more = place
    return f"{address}%{more[1]}" if more and more[1] and "%" not in address else str(address)


def _is_readable(connection: socket.socket) -> bool:
    """Between calls, a connection with something to read was closed by the other side, or is out of step."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))
