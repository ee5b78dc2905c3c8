"""A connection pooler in transaction mode: another transaction, perhaps another session of the server."""

import os
import queue
import socket
import socketserver
import threading
from contextlib import suppress
from types import TracebackType
from typing import NamedTuple, Self

from herald.outbox.postgres.driver import parse_dsn

SIZE = 4  # sessions of the server at most
WAIT = 30.0  # seconds a client waits for one of them
PROTOCOL = 3 << 16
SSL_OR_GSS = (80877103, 80877104)  # may we encrypt?
ENDS_A_TURN = (b"Q", b"S", b"F")  # what the server answers with ReadyForQuery: query, sync, function call


class Frame(NamedTuple):
    """One message of the protocol: its type, and all of it as it goes over the wire."""

    kind: bytes
    raw: bytes


class Upstream:
    """One session of the server."""

    def __init__(self, address: str, user: str, database: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(WAIT)
        self.socket.connect(address)
        text = b"".join(part.encode() + b"\0" for part in ("user", user, "database", database)) + b"\0"
        self.socket.sendall((len(text) + 8).to_bytes(4) + PROTOCOL.to_bytes(4) + text)
        self.greeting = b""  # the parameters that the server reports
        while (frame := read_frame(self.socket)).kind != b"Z":
            self.greeting += frame.raw if frame.kind == b"S" else b""
        self.socket.settimeout(None)


class Pooler:
    """Listens on 127.0.0.1 in front of a server on a Unix socket that trusts everybody.

    A client has a session only from the first message of a transaction to its end. A session that is free
    is given to the next who asks: the one used last (as PgBouncer does), or, with `is_round_robin`, each in its turn.
    With `keeps_sessions` it is a pooler in session mode: a client has the session it gets until it leaves. What the
    server says unasked waits for the next question.
    """

    def __init__(
        self, url: str, *, size: int = SIZE, is_round_robin: bool = False, keeps_sessions: bool = False
    ) -> None:
        self.keeps_sessions = keeps_sessions
        at = parse_dsn(url)
        self._address, self._user, self._database = f"{at['host']}/.s.PGSQL.{at['port']}", at["user"], at["dbname"]
        self._free: queue.Queue[Upstream | None] = queue.Queue() if is_round_robin else queue.LifoQueue()
        for _ in range(size):
            self._free.put(None)  # not opened yet
        self._server = _Server(("127.0.0.1", 0), _Client)
        self._server.pooler = self

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, name="pooler", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        while not self._free.empty():
            self.close(self._free.get())

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """For libpq and DATABASE_URL: the same database, by way of the pool."""
        return f"postgresql://{self._user}@127.0.0.1:{self.port}/{self._database}"

    def take(self) -> Upstream:
        """A session for one transaction; opens it when it is the first to use it. Raises queue.Empty, OSError."""
        session = self._free.get(timeout=WAIT)
        try:
            return session or Upstream(self._address, self._user, self._database)
        except OSError:
            self._free.put(None)
            raise

    def give_back(self, session: Upstream) -> None:
        self._free.put(session)

    def lose(self, session: Upstream) -> None:
        """A session in the middle of a transaction ends with its client."""
        self.close(session)
        self._free.put(None)

    @staticmethod
    def close(session: Upstream | None) -> None:
        if session is not None:
            session.socket.close()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    pooler: Pooler


class _Client(socketserver.BaseRequestHandler):
    """One client, from its greeting to its end; `self.request` is its socket."""

    server: _Server
    request: socket.socket

    def setup(self) -> None:
        self._session: Upstream | None = None

    def handle(self) -> None:
        with suppress(OSError, queue.Empty):
            if self._greet():
                self._serve()

    def finish(self) -> None:
        if self._session is not None:
            self.server.pooler.lose(self._session)

    def _greet(self) -> bool:
        """Let everybody in; False for a request to cancel, which is ignored."""
        while (code := int.from_bytes(self._first_message()[:4])) in SSL_OR_GSS:
            self.request.sendall(b"N")
        if code >> 16 != PROTOCOL >> 16:
            return False
        session = self.server.pooler.take()
        self.server.pooler.give_back(session)
        key = b"K" + (12).to_bytes(4) + os.urandom(8)  # of the pool: no process id of the server
        self.request.sendall(b"R\0\0\0\x08\0\0\0\0" + session.greeting + key + b"Z\0\0\0\x05I")
        return True

    def _first_message(self) -> bytes:
        return read_bytes(self.request, int.from_bytes(read_bytes(self.request, 4)) - 4)

    def _serve(self) -> None:
        while (frame := read_frame(self.request)).kind != b"X":
            if self._session is None:
                self._session = self.server.pooler.take()
            self._session.socket.sendall(frame.raw)
            if frame.kind not in ENDS_A_TURN or self._answered(self._session) != b"I":
                continue
            if not self.server.pooler.keeps_sessions:
                self.server.pooler.give_back(self._session)
                self._session = None

    def _answered(self, session: Upstream) -> bytes:
        """Hand over what the server says; returns the state it ends in: idle, in a transaction, failed."""
        while True:
            frame = read_frame(session.socket)
            self.request.sendall(frame.raw)
            if frame.kind == b"Z":
                return frame.raw[-1:]
            if frame.kind == b"G":  # COPY … FROM STDIN
                self._copy_in(session)

    def _copy_in(self, session: Upstream) -> None:
        kind = b""
        while kind not in (b"c", b"f"):
            kind, raw = read_frame(self.request)
            session.socket.sendall(raw)


def read_frame(stream: socket.socket) -> Frame:
    """Raises ConnectionError when the other side has closed."""
    head = read_bytes(stream, 5)
    return Frame(head[:1], head + read_bytes(stream, int.from_bytes(head[1:]) - 4))


def read_bytes(stream: socket.socket, count: int) -> bytes:
    """Exactly so many. Raises ConnectionError when the other side has closed."""
    read = bytearray()
    while len(read) < count:
        part = stream.recv(count - len(read))
        if not part:
            raise ConnectionError("the other side has closed")
        read += part
    return bytes(read)
