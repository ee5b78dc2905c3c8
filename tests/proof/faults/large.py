"""Large messages through everything, to a receiver that is slow, and how much memory each process took for them."""

import http.client
import json
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

from herald.outbox.postgres.statements import fetch_value
from tests.proof.end_to_end.destinations import letter
from tests.proof.faults.report import machine, paragraphs, table
from tests.proof.faults.scene import Scene, durable_scene
from tests.servers.eventually import eventually
from tests.servers.http_server import HttpServer, Received
from tests.servers.postgres import connect_to_tables

SIZE = 990_000  # characters of a content: the producer takes records of 1,000,000 bytes, headers included
CALLERS = 4
SLOW = 0.2  # seconds until the receiver answers
LIMIT = 400  # MB, of each process
AGAIN = 0.5  # seconds until what found the API full is sent again
KINDS = 50  # users, of which each gets its messages in order
WITHIN = 1_800.0  # seconds until everything must be sent

_never = threading.Event()


class SlowReceiver(HttpServer):
    """Answers 200 after a while, and keeps nothing of what it gets."""

    def keep(self, _received: Received) -> None:
        _never.wait(SLOW)


@contextmanager
def large_scene() -> Iterator[Scene]:
    """One process of each role, with the defaults."""
    with durable_scene({}, of_each=1) as scene:
        yield scene


def send_large(scene: Scene, *, messages: int) -> dict[str, float]:
    """Accept so many, wait until all are sent, and return the most that each process ever held, in MB.

    Raises AssertionError when they are not sent in time, or a process has ended meanwhile.
    """
    with SlowReceiver() as receiver, scene.fleet.running():
        began = {name: member.pid for name, member in scene.fleet.members.items()}
        with ThreadPoolExecutor(CALLERS) as callers:
            for _ in callers.map(lambda number: _post(scene, receiver, number), range(messages)):
                pass
        eventually(lambda: _sent(scene.fleet.settings["DATABASE_URL"]) == messages, WITHIN)
        members = scene.fleet.members.items()
        ended = [name for name, member in members if not member.running or member.pid != began[name]]
        assert not ended, f"ended meanwhile: {ended}"
        return {name: _peak(member.pid) for name, member in scene.fleet.members.items()}


def describe(peaks: Mapping[str, float], *, messages: int, seconds: float) -> str:
    """For the page."""
    size = f"{messages:,} messages of {SIZE:,} bytes in {seconds:.0f} s, to a receiver that takes {SLOW:g} s"
    figures = {name: f"{peak:.0f} MB" for name, peak in sorted(peaks.items())}
    return paragraphs([f"{machine()}. {size}.", table(("process", "the most it had in memory"), figures)])


def _post(scene: Scene, receiver: HttpServer, number: int) -> None:
    """Until it is accepted: what finds the API full is told to come again."""
    content = (f"{number} " * (SIZE // 2))[:SIZE]
    body = json.dumps(letter(str(number % KINDS), "webhook", receiver.url()) | {"content": content})
    deadline = monotonic() + WITHIN
    for status in _tries(scene.fleet.ports[0], body):
        if status == http.client.ACCEPTED:
            return
        assert status == http.client.SERVICE_UNAVAILABLE, status
        assert monotonic() < deadline, "never accepted"
        _never.wait(AGAIN)


def _tries(port: int, body: str) -> Iterator[int]:
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("POST", "/notifications", body, {"content-type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        connection.close()
        yield answer.status


def _sent(database: str) -> int:
    connection = connect_to_tables(database)
    try:
        count = fetch_value(connection, "SELECT count(*) FROM messages WHERE status = 'sent'")
    finally:
        connection.close()
    return int(count)


def _peak(pid: int) -> float:
    """The most it ever had in memory, in MB."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return 0.0
