"""The port for those who watch: `/metrics`, `/health/live`, `/health/ready`, and nothing else.

It is served by threads of its own, whatever the others do. A request has two seconds; nobody can hold up a probe
for longer than that.
"""

import json
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from http import HTTPStatus
from threading import Event
from time import monotonic
from typing import NamedTuple

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from herald.outbox.threads import Thread

PATIENCE = 2.0  # seconds for a request
MOST_HEADER = 8192  # bytes
AT_ONCE = 16  # connections; of more the one that has been there longest makes room
LACK = 1.0  # seconds until the next try where this process may open no more files
_never = Event()
Names = Callable[[], Sequence[str]]
_log = structlog.get_logger()


class PortError(Exception):
    """The port cannot be had; the text says why."""


class Watched(NamedTuple):
    """What is answered: `stuck` names threads, `missing` what keeps it from its work; either may be empty."""

    registry: CollectorRegistry
    stuck: Names
    missing: Names


class Answer(NamedTuple):
    """Of one request."""

    status: HTTPStatus
    body: bytes
    kind: str = "application/json"

    def response(self, *, has_body: bool) -> bytes:
        """As HTTP."""
        head = (
            f"HTTP/1.1 {self.status.value} {self.status.phrase}\r\ncontent-type: {self.kind}\r\n"
            f"content-length: {len(self.body)}\r\nconnection: close\r\n"
        )
        allow = "allow: GET, HEAD\r\n" if self.status == HTTPStatus.METHOD_NOT_ALLOWED else ""
        return f"{head}{allow}\r\n".encode() + (self.body if has_body else b"")


def serve(host: str, port: int, watched: Watched) -> int:
    """Listen, and answer from now on in threads; returns the port. Raises PortError."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.create_server(address, family=family)
    except OSError as error:
        message = f"HERALD_METRICS_PORT: {host}:{port} cannot be had: {error.strerror or error}"
        raise PortError(message) from None
    Thread(_accept, "metrics", args=(listener, watched)).start()
    return int(listener.getsockname()[1])


def answer(watched: Watched, path: str) -> Answer:
    """What stands at a path."""
    match path.partition("?")[0]:
        case "/metrics":
            return Answer(HTTPStatus.OK, generate_latest(watched.registry), CONTENT_TYPE_LATEST)
        case "/health/live":
            return _health("live", [f"stuck: {name}" for name in watched.stuck()])
        case "/health/ready":
            return _health("ready", watched.missing())
    return Answer(HTTPStatus.NOT_FOUND, b'{"detail":"here are /metrics, /health/live and /health/ready"}')


def _health(state: str, lacking: Sequence[str]) -> Answer:
    if lacking:
        _log.warning(f"not_{state}", missing=list(lacking))
        said = {"status": f"not {state}", "missing": list(lacking)}
        return Answer(HTTPStatus.SERVICE_UNAVAILABLE, json.dumps(said).encode())
    return Answer(HTTPStatus.OK, json.dumps({"status": state}).encode())


def _accept(listener: socket.socket, watched: Watched) -> None:
    guests: list[socket.socket] = []  # the oldest first

    def attend(guest: socket.socket) -> None:
        try:
            with guest:
                _attend(guest, watched)
        except OSError:
            pass  # it has left, was too slow, or made room
        finally:
            with suppress(ValueError):
                guests.remove(guest)

    while True:
        try:
            guest, _ = listener.accept()
        except OSError as error:
            _log.warning("metrics_not_accepted", reason=str(error))
            _never.wait(LACK)
            continue
        if len(guests) >= AT_ONCE:
            with suppress(OSError, IndexError):
                guests.pop(0).shutdown(socket.SHUT_RDWR)
        guests.append(guest)
        try:
            Thread(attend, "metrics-request", args=(guest,)).start()
        except RuntimeError:  # the machine has no more of them
            guests.remove(guest)
            guest.close()


def _attend(guest: socket.socket, watched: Watched) -> None:
    deadline, head = monotonic() + PATIENCE, b""
    while b"\r\n\r\n" not in head and len(head) < MOST_HEADER:
        guest.settimeout(max(0.001, deadline - monotonic()))
        if not (piece := guest.recv(MOST_HEADER)):
            return
        head += piece
    guest.settimeout(PATIENCE)
    guest.sendall(_said(head, watched))
    guest.shutdown(socket.SHUT_WR)


def _said(head: bytes, watched: Watched) -> bytes:
    method, _, rest = head.decode("latin-1").partition(" ")
    path, is_http, _ = rest.partition(" HTTP/1.")
    if b"\r\n\r\n" not in head or not is_http or not path.startswith("/"):
        return Answer(HTTPStatus.BAD_REQUEST, b'{"detail":"this is not HTTP/1.1"}').response(has_body=True)
    if method not in {"GET", "HEAD"}:
        return Answer(HTTPStatus.METHOD_NOT_ALLOWED, b'{"detail":"GET or HEAD"}').response(has_body=True)
    return answer(watched, path).response(has_body=method == "GET")
