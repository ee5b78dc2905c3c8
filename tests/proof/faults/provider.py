"""The outside system: takes every webhook, and remembers each call for good."""

import json
import socket
from typing import NamedTuple

from tests.proof.faults.evidence import as_number
from tests.servers.http_server import HttpServer, Received

STRANGE = -1  # the number of what no caller sent
DELAY = 0.01  # seconds it takes to answer: long enough to be killed in


class Arrival(NamedTuple):
    """One call as it came in, before it was answered; `at` by the monotonic clock."""

    id: str
    attempt: int
    key: str
    number: int
    at: float


class Provider(HttpServer):
    """Deliver to `address`. What it keeps of a call is small: hundreds of thousands come."""

    def __init__(self, *, delay: float = DELAY) -> None:
        super().__init__()
        self.arrivals: list[Arrival] = []
        self.delay = delay

    @property
    def address(self) -> str:
        return self.url("/take")

    def keep(self, received: Received) -> None:
        data = json.loads(received.body)["data"]
        attempt = int(received.headers.get("herald-attempt", "1"))  # a release before this one does not say
        number = as_number(data["content"])
        self.arrivals.append(
            Arrival(received.id, attempt, data["user_id"], STRANGE if number is None else number, received.at)
        )

    def _do_take(self, connection: socket.socket, *_: str) -> bool:
        self._stop.wait(self.delay)
        return self._do_ok(connection)
