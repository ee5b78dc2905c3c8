"""The API behind its real server, in a thread of the test, and callers that keep no rules."""

import contextlib
import socket
import threading
from collections.abc import Iterator

from herald.api.http.resources import Budget, Resources
from herald.api.process import make_server
from herald.outbox.acceptance.committer import Committer
from herald.outbox.postgres.engine import make_engine
from herald.outbox.settings import Settings
from tests.servers.eventually import eventually
from tests.servers.ports import accepts, free_port

GOOD = b'{"user_id":"1","event":"e","content":"c"}'
PATIENCE = 10.0  # seconds
START = 30.0  # seconds


@contextlib.contextmanager
def serving(settings: Settings, committer: Committer, budget: Budget | None = None) -> Iterator[int]:
    """Gives the port."""
    port, budget = free_port(), budget or Budget(settings.memory // 2)
    resources = Resources(settings, committer, make_engine(settings, "tests"), budget)
    server = make_server(resources, host="127.0.0.1", port=port)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        eventually(lambda: accepts(port), START, what="the server listens")
        yield port
    finally:
        server.should_exit = True
        thread.join(PATIENCE)


class Caller(socket.socket):
    """A connection to it."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.settimeout(PATIENCE)
        self.connect(("127.0.0.1", port))

    def post(self, body: bytes = GOOD, *, path: str = "/notifications", length: int | None = None) -> None:
        """Send a request, whatever length it announces."""
        announced = len(body) if length is None else length
        head = [f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json"]
        self.sendall("\r\n".join([*head, f"Content-Length: {announced}", "", ""]).encode() + body)

    def read_head(self) -> bytes:
        """The next answer up to its body."""
        found = b""
        while b"\r\n\r\n" not in found:
            piece = self.recv(65_536)
            if not piece:
                return found
            found += piece
        return found

    def read_all(self) -> bytes:
        """Everything until the server closes."""
        found = b""
        with contextlib.suppress(ConnectionResetError):
            while piece := self.recv(65_536):
                found += piece
        return found


def status_of(answer: bytes) -> int:
    """0 where there is none."""
    return int(answer[9:12]) if answer else 0
