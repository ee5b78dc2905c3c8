"""A live API under forged requests, while a good client sends its own."""

import contextlib
import math
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from random import Random
from time import monotonic

from tests.faults.report import machine, measured
from tests.fuzz.requests import Forged, forge
from tests.servers.eventually import eventually
from tests.servers.herald import HeraldProcess
from tests.servers.ports import accepts, free_port

ATTACKERS = 8
RATE = 50.0  # good requests per second
ALONE = 5.0  # seconds that the good client is measured by itself first
PATIENCE = 1.0  # seconds that an attacker waits for its answer
HALF_OPEN = 20  # connections that each attacker leaves unfinished
GOOD = '{"user_id":"good","event":"e","content":"c"}'
NO_HELP = 503


@dataclass
class Caller:
    """What the good client met."""

    seconds: list[float] = field(default_factory=list)
    failed: Counter[str] = field(default_factory=Counter)

    @property
    def p99(self) -> float:
        """Of its answers, in milliseconds."""
        return sorted(self.seconds)[math.ceil(0.99 * len(self.seconds)) - 1] * 1000


@dataclass
class Found:
    """What came of it; memory in MB, early and at the end."""

    seed: int
    statuses: Counter[int]
    wrong: list[str]
    alone: Caller
    beside: Caller
    memory: tuple[int, int]

    def assert_clean(self) -> None:
        """Raises AssertionError."""
        assert not self.wrong, f"seed {self.seed}: {self.wrong[:5]}"
        assert self.beside.failed.total() <= 0.01 * len(self.beside.seconds), self.beside.failed


def besiege(database: str, folder: Path, *, requests: int, seed: int, alone: float = ALONE) -> Found:
    """Send so many forged requests to an API of its own on this database."""
    port = free_port()
    api = HeraldProcess("api", "--port", str(port), folder=folder, settings={"DATABASE_URL": database})
    api.start()
    try:
        eventually(lambda: accepts(port), 60.0, what="the API listens")
        before = _measured(port, threading.Event(), alone)
        statuses: Counter[int] = Counter()
        wrong: list[str] = []
        memory: list[int] = []
        attackers = [
            threading.Thread(target=_attack, args=(port, draw, requests // ATTACKERS, statuses, wrong))
            for draw in attackers_of(seed)
        ]
        over = threading.Event()
        good = threading.Thread(target=lambda: results.append(_measured(port, over, None)))
        results: list[Caller] = []
        good.start()
        for one in attackers:
            one.start()
        eventually(lambda: statuses.total() > requests * 0.2, 3600.0, what="a fifth is answered")
        memory.append(_memory(api.pid))
        for one in attackers:
            one.join()
        over.set()
        good.join()
        memory.append(_memory(api.pid))
        if not api.running:
            wrong.append("the API ended")
    finally:
        api.stop()
    return Found(seed, statuses, wrong, before, results[0], (memory[0], memory[1]))


def describe(found: Found) -> str:
    """The report."""
    answered = {
        f"answered {status}" if status else "not answered": found.statuses[status] for status in sorted(found.statuses)
    }
    figures = {
        "requests": found.statuses.total(),
        **answered,
        "5xx but 503 with Retry-After": len(found.wrong),
        "good requests, failed": f"{len(found.beside.seconds)}, {found.beside.failed.total()}",
        "p99 of the good client alone, beside": f"{found.alone.p99:.1f} ms, {found.beside.p99:.1f} ms",
        "memory after a fifth, at the end": f"{found.memory[0]} MB, {found.memory[1]} MB",
    }
    head = f"{machine()}. Seed {found.seed}, {ATTACKERS} attackers."
    return measured(head, figures, "WRONG" if found.wrong else "No answer was wrong.")


def attackers_of(seed: int) -> list[Random]:
    """What each attacker draws from."""
    return [Random(f"{seed}.{number}") for number in range(ATTACKERS)]  # noqa: S311 - a plan that can be repeated


def _measured(port: int, over: threading.Event, seconds: float | None) -> Caller:
    """A good client at its rate, for so long or until it is over."""
    caller, due = Caller(), monotonic()
    end = math.inf if seconds is None else due + seconds
    while monotonic() < end and not over.wait(max(0.0, due - monotonic())):
        due += 1 / RATE
        began = monotonic()
        try:
            with contextlib.closing(HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
                connection.request("POST", "/notifications", GOOD, {"content-type": "application/json"})
                status = connection.getresponse().status
        except (OSError, HTTPException) as error:
            caller.failed[type(error).__name__] += 1
        else:
            if status != 202:
                caller.failed[str(status)] += 1
        caller.seconds.append(monotonic() - began)
    return caller


def _attack(port: int, draw: Random, count: int, statuses: Counter[int], wrong: list[str]) -> None:
    unfinished: list[socket.socket] = []
    for _ in range(count):
        forged = forge(draw)
        answer = b""
        with contextlib.suppress(OSError):
            connection = socket.create_connection(("127.0.0.1", port), PATIENCE)
            for piece in _pieces(forged):
                connection.sendall(piece)
            if forged.is_half and draw.random() < 0.5:
                unfinished.append(connection)
            else:
                with connection:
                    answer = _first_bytes(connection, forged)
        if len(unfinished) > HALF_OPEN:
            unfinished.pop(0).close()
        status = int(answer[9:12]) if answer[9:12].isdigit() else 0
        statuses[status] += 1
        is_limit = status == NO_HELP and b"retry-after" in answer.lower()
        if status >= 500 and not is_limit:
            wrong.append(f"{status} to {forged.sent!r}")
    for connection in unfinished:
        connection.close()


def _first_bytes(connection: socket.socket, forged: Forged) -> bytes:
    return b"" if forged.is_half else connection.recv(4096)


def _pieces(forged: Forged) -> Iterator[bytes]:
    for start in range(0, len(forged.sent), forged.piece):
        yield forged.sent[start : start + forged.piece]


def _memory(pid: int) -> int:
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) // 1024
