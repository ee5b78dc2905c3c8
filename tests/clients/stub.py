"""What a Herald that runs cannot be made to answer: a server between it and a client, scripted by the vectors.

A client of the vector with index 3 calls it at `/3/notifications` and the like. Each of its requests gets the next
answer of the script, or is forwarded to Herald; `close` ends the connection instead, `hang` waits for the end, `drip`
sends a body byte by byte, `html` and `json` are bodies that are not Herald's.
"""

import http.client
import json
import threading
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

PATIENCE = 30.0  # seconds
DRIP_EVERY = 0.1  # seconds
PAGE = b"<html>somebody else's page</html>"
FORWARDED = ("content-type", "idempotency-key", "traceparent")


class Received(NamedTuple):
    """One request; `at` by the monotonic clock."""

    at: float
    method: str
    path: str
    key: str | None
    body: bytes
    authorization: str | None


class Stub:
    """Listens on 127.0.0.1 until its end; `received` has the requests of each vector by its index."""

    def __init__(self, vectors: Sequence[dict[str, Any]], herald: str) -> None:
        self._scripts = [list(vector.get("stub", ())) for vector in vectors]
        self._herald = urlsplit(herald)
        self._stop = threading.Event()
        self.received: list[list[Received]] = [[] for _ in vectors]

        class Handler(_Handler):
            stub = self

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._server.shutdown()
        self._server.server_close()

    def take(self, index: int, received: Received) -> dict[str, Any]:
        """What this request is answered with."""
        self.received[index].append(received)
        return dict(self._scripts[index].pop(0)) if self._scripts[index] else {"forward": True}

    def wait_for_the_end(self, seconds: float = PATIENCE) -> bool:
        """Whether it has come."""
        return self._stop.wait(seconds)

    def forward(self, received: Received, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        """Herald's answer."""
        connection = http.client.HTTPConnection(str(self._herald.hostname), self._herald.port, timeout=PATIENCE)
        connection.request(received.method, received.path, received.body, headers)
        answer = connection.getresponse()
        try:
            return answer.status, {"content-type": answer.headers["content-type"]}, answer.read()
        finally:
            connection.close()


class _Server(ThreadingHTTPServer):
    request_queue_size = 128  # connections of all vectors at once: what does not fit is tried again after a second


class _Handler(BaseHTTPRequestHandler):
    stub: Stub
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        _, index, path = self.path.split("/", 2)
        key, shown = self.headers.get("idempotency-key"), self.headers.get("authorization")
        received = Received(monotonic(), self.command, f"/{path}", key, body, shown)
        scripted = self.stub.take(int(index), received)
        if "hang" in scripted:
            self.stub.wait_for_the_end()
        if "drip" in scripted:
            self._drip()
            return
        headers = {name: self.headers[name] for name in FORWARDED if name in self.headers}
        answer = self.stub.forward(received, headers) if "forward" in scripted else _made(scripted)
        if "close" in scripted or "hang" in scripted:
            self.close_connection = True
            return
        self._send(*answer)

    def do_GET(self) -> None:
        self.do_POST()

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {**headers, "content-length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _drip(self) -> None:
        self.close_connection = True
        self.send_response(HTTPStatus.ACCEPTED)
        self.end_headers()
        with suppress(OSError):  # the client has gone
            end = monotonic() + PATIENCE
            while monotonic() < end and not self.stub.wait_for_the_end(DRIP_EVERY):
                self.wfile.write(b" ")

    def log_message(self, *_: object) -> None:
        """Nothing: the vectors say what is expected."""


def _made(scripted: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
    status = HTTPStatus(scripted.get("status", 503))
    later = scripted.get("retry_after")
    if later == "date in 2 seconds":
        later = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
    headers = {"retry-after": later} if later is not None else {}
    if "html" in scripted:
        return status, {**headers, "content-type": "text/html"}, PAGE
    problem = {"type": "about:blank", "title": status.phrase, "status": status, "detail": "scripted", "errors": []}
    body = json.dumps(scripted.get("json", problem)).encode()
    return status, {**headers, "content-type": "application/problem+json"}, body
