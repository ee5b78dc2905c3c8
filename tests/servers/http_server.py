"""An HTTP server of the tests that misbehaves as its path says, and keeps what it gets.

/ok, /status/<number>, /later/<status>/<seconds> (Retry-After), /hang, /reset, /drip-head, /drip-body,
/bomb (gzip), /endless, /redirect/<url>, /held/<name> (until `release(name)`).
"""

import contextlib
import gzip
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable
from time import monotonic
from types import TracebackType
from typing import NamedTuple, Self
from urllib.parse import unquote

from tests.servers.certificates import Certificate

DRIP = 0.1  # seconds between two bytes
BOMB = gzip.compress(b"\0" * 50_000_000)  # bytes once inflated
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends RST


class Received(NamedTuple):
    """One request; header names in lower case, `at` by the monotonic clock."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


class HttpServer:
    """Listens on 127.0.0.1 in threads; `sent` counts the bytes of answers, `connections` what was opened."""

    def __init__(self, *, certificate: Certificate | None = None, port: int = 0) -> None:
        self._context = certificate.context() if certificate else None
        self._listener = socket.create_server(("127.0.0.1", port), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        self.received: list[Received] = []
        self.connections = self.sent = 0
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._released: set[str] = set()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        with self._changed:
            self._changed.notify_all()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def url(self, path: str = "/ok") -> str:
        return f"{'https' if self._context else 'http'}://127.0.0.1:{self.port}{path}"

    @property
    def ids(self) -> Counter[str]:
        """How often each webhook came."""
        return Counter(received.id for received in list(self.received))

    def keep(self, received: Received) -> None:
        """Called for each request before it is answered."""
        self.received.append(received)

    def release(self, name: str = "") -> None:
        """Answer what is held under that name, now and later."""
        with self._changed:
            self._released.add(name)
            self._changed.notify_all()

    def _accept(self) -> None:
        while not self._stop.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError), connection:
            if self._context:
                connection = self._context.wrap_socket(connection, server_side=True)
            stream = connection.makefile("rb")
            while (received := _read(stream.readline, stream.read)) is not None:
                self.keep(received)
                if not self._answer(connection, received.path):
                    return

    def _answer(self, connection: socket.socket, path: str) -> bool:
        """Whether the connection can be used again."""
        _, kind, *arguments = path.partition("?")[0].split("/", 3)
        behaviour: Callable[..., bool] = getattr(self, f"_do_{kind.replace('-', '_')}")
        return behaviour(connection, *arguments)

    def _send(self, connection: socket.socket, data: bytes) -> None:
        connection.sendall(data)
        self.sent += len(data)

    def _head(self, status: int, **headers: str) -> bytes:
        lines = [
            f"HTTP/1.1 {status} Whatever",
            *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
        ]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def _do_ok(self, connection: socket.socket, *_: str) -> bool:
        return self._do_status(connection, "200")

    def _do_status(self, connection: socket.socket, status: str, *_: str) -> bool:
        self._send(connection, self._head(int(status), Content_Length="4") + b"done")
        return True

    def _do_later(self, connection: socket.socket, status: str, seconds: str) -> bool:
        self._send(connection, self._head(int(status), Content_Length="0", Retry_After=unquote(seconds)))
        return True

    def _do_redirect(self, connection: socket.socket, *url: str) -> bool:
        self._send(connection, self._head(302, Content_Length="0", Location="/".join(url)))
        return True

    def _do_held(self, connection: socket.socket, name: str = "", *_: str) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: name in self._released or self._stop.is_set())
        return self._do_ok(connection)

    def _do_hang(self, _connection: socket.socket, *_: str) -> bool:
        self._stop.wait()
        return False

    def _do_reset(self, connection: socket.socket, *_: str) -> bool:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        return False

    def _do_drip_head(self, connection: socket.socket, *_: str) -> bool:
        return self._drip(connection, self._head(200, X_Padding="x" * 1000))

    def _do_drip_body(self, connection: socket.socket, status: str = "200", *_: str) -> bool:
        self._send(connection, self._head(int(status), Content_Length="1000"))
        return self._drip(connection, b"x" * 1000)

    def _do_bomb(self, connection: socket.socket, status: str = "200", *_: str) -> bool:
        self._send(connection, self._head(int(status), Content_Length=str(len(BOMB)), Content_Encoding="gzip") + BOMB)
        return True

    def _do_endless(self, connection: socket.socket, status: str = "200", *_: str) -> bool:
        self._send(connection, self._head(int(status), Connection="close"))
        while not self._stop.is_set():
            self._send(connection, b"x" * 4096)
        return False

    def _drip(self, connection: socket.socket, data: bytes) -> bool:
        for byte in data:
            self._send(connection, bytes([byte]))
            if self._stop.wait(DRIP):
                break
        return False


def _read(readline: Callable[[], bytes], read: Callable[[int], bytes]) -> Received | None:
    """The next request of a connection; None at its end."""
    request = readline()
    if not request:
        return None
    headers: dict[str, str] = {}
    while line := readline().strip():
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    body = read(int(headers.get("content-length", "0")))
    return Received(request.split()[1].decode(), headers, body, monotonic())
