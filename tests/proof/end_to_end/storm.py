"""One request from many callers at once, as a client's retries without patience send it."""

import json
import select
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import time
from typing import Any

CALLERS = 200
PATIENCE = 30.0  # seconds without any answer
READ = 65_536  # bytes


@dataclass(frozen=True)
class Answer:
    """What one caller got; header names in lower case, dates in seconds since 1970."""

    status: int
    headers: dict[str, str]
    body: dict[str, Any]
    ended: float


class Storm:
    """Callers with an open connection each, spread over these ports."""

    def __init__(self, ports: Sequence[int], callers: int = CALLERS) -> None:
        self._poll = select.epoll()
        self._sockets = dict(_opened(ports, callers))
        for number in self._sockets:
            self._poll.register(number, select.EPOLLIN)

    def send(self, body: object, *, key: str | None) -> list[Answer]:
        """The same notification from everybody; returns once all are answered."""
        request = _request(json.dumps(body).encode(), key)
        for one in self._sockets.values():
            one.sendall(request)
        return list(self._collect())

    def close(self) -> None:
        for one in self._sockets.values():
            one.close()

    def _collect(self) -> Iterator[Answer]:
        waiting = dict.fromkeys(self._sockets, b"")
        while waiting:
            ready = self._poll.poll(PATIENCE)
            assert ready, f"{len(waiting)} callers got no answer"
            for number, _ in ready:
                received = self._sockets[number].recv(READ)
                assert received, "the API closed a connection"
                waiting[number] += received
                if answer := _parse(waiting[number]):
                    del waiting[number]
                    yield answer


def _opened(ports: Sequence[int], callers: int) -> Iterator[tuple[int, socket.socket]]:
    for caller in range(callers):
        opened = socket.create_connection(("127.0.0.1", ports[caller % len(ports)]))
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield opened.fileno(), opened


def _request(body: bytes, key: str | None) -> bytes:
    head = [
        "POST /notifications HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    if key is not None:
        head.append(f"Idempotency-Key: {key}")
    return "\r\n".join([*head, "", ""]).encode() + body


def _parse(received: bytes) -> Answer | None:
    """None while a part is missing."""
    head, end, body = received.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    if not end or len(body) < int(headers["content-length"]):
        return None
    return Answer(int(status.split()[1]), headers, json.loads(body), time())
