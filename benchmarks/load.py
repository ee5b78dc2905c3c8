"""A load generator that costs little: prebuilt requests, one thread, epoll (Linux)."""

import json
import os
import select
import socket
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import cycle
from time import monotonic, time

import click

from benchmarks.letters import letters
from benchmarks.machine import watched

BODIES = 1000  # different requests, sent in turns
READ = 65_536  # bytes


@dataclass
class Connection:
    """`began` is when its request was sent, or was due where a rate is kept: waiting for a turn counts as well."""

    socket: socket.socket
    began: float = 0.0
    received: bytes = b""


@dataclass
class Tally:
    """The answers, by the clock `monotonic`."""

    accepted: list[tuple[bytes, float, float]] = field(default_factory=list)  # answer, began, ended
    refused: list[bytes] = field(default_factory=list)


class Generator:
    """As many requests as the connections carry, or `rate` per second."""

    def __init__(self, port: int, connections: int, *, rate: float | None) -> None:
        self._poll = select.epoll()
        self._rate = rate
        self._requests = cycle(_requests())
        self._connections: dict[int, Connection] = {}
        for _ in range(connections):
            opened = socket.create_connection(("127.0.0.1", port))
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connections[opened.fileno()] = Connection(opened)
            self._poll.register(opened, select.EPOLLIN)
        self._idle = deque(self._connections.values())

    def run(self, seconds: float, goes_on: Callable[[], bool] = lambda: True) -> Tally:
        """Post for `seconds` while it goes on, then wait for the last answers."""
        due = monotonic()
        tally, end = Tally(), due + seconds
        while (now := monotonic()) < end and goes_on():
            while self._idle and now >= due:
                self._post(self._idle.popleft(), due if self._rate else now)
                due = due + 1 / self._rate if self._rate else now
            self._collect(tally, max(0.0, due - now) if self._idle else 1.0)
        while len(self._idle) < len(self._connections):
            self._collect(tally, 1.0)
        return tally

    def _post(self, connection: Connection, began: float) -> None:
        connection.began = began
        connection.socket.sendall(next(self._requests))

    def _collect(self, tally: Tally, timeout: float) -> None:
        for number, _ in self._poll.poll(timeout):
            connection = self._connections[number]
            received = connection.socket.recv(READ)
            if not received:
                message = "the API closed a connection"
                raise click.ClickException(message)
            connection.received += received
            if connection.received.endswith(b"}"):  # every answer is a JSON object
                _note(connection, tally)
                connection.received = b""
                self._idle.append(connection)


def _note(connection: Connection, tally: Tally) -> None:
    if connection.received[9:12] != b"202":
        tally.refused.append(connection.received)
        return
    tally.accepted.append((connection.received, connection.began, monotonic()))


def _requests() -> Iterator[bytes]:
    for _, body in letters(BODIES):
        head = ["POST /notifications HTTP/1.1", "Host: localhost", "Content-Type: application/json"]
        yield "\r\n".join([*head, f"Content-Length: {len(body)}", "", ""]).encode() + body


@click.command()
@click.option("--port", type=int, required=True)
@click.option("--connections", type=int, required=True)
@click.option("--seconds", type=float, required=True)
@click.option("--warm-up", type=float, default=1.0, help="Seconds that do not count.")
@click.option("--rate", type=float, help="Requests per second; as many as possible without it.")
@click.option("--beside", type=int, help="Only while this process runs; what is refused is counted.")
def main(port: int, connections: int, seconds: float, warm_up: float, rate: float | None, beside: int | None) -> None:
    """Print the rate, the idle CPU, the answers' milliseconds, and each notification's id with its POST's date."""
    goes_on = (lambda: True) if beside is None else (lambda: _runs(beside))
    generator = Generator(port, connections, rate=rate)
    generator.run(warm_up, goes_on)
    began = monotonic()
    with watched() as span:
        tally = generator.run(seconds, goes_on)
    if tally.refused and beside is None:
        message = f"{len(tally.refused)} refused, the first: {tally.refused[0].decode()}"
        raise click.ClickException(message)
    since_1970 = time() - monotonic()
    in_time = [one for one in tally.accepted if rate or one[2] <= began + seconds]
    found = {
        "rate": len(in_time) / seconds,
        "idle": span.idle,
        "refused": len(tally.refused),
        "milliseconds": [(ended - posted) * 1000 for _, posted, ended in in_time],
        "posted": [(_identity(answer), posted + since_1970) for answer, posted, _ in in_time] if rate else [],
    }
    click.echo(json.dumps(found))


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def _identity(answer: bytes) -> str:
    return str(json.loads(answer.partition(b"\r\n\r\n")[2])["id"])


if __name__ == "__main__":
    main()
