"""A live API under forged requests, while a good client in a process of its own sends its own."""

import contextlib
import json
import socket
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from time import monotonic
from urllib.request import Request, urlopen

from tests.proof.faults.report import machine, measured, table
from tests.proof.fuzz.caller import GOOD, RATE, Met, call_alone, calling
from tests.proof.fuzz.requests import Forged, forge
from tests.proof.fuzz.sketches import Model, models_of
from tests.servers.eventually import eventually
from tests.servers.herald import HeraldProcess
from tests.servers.ports import accepts, free_port

ATTACKERS = 8
ALONE = 20.0  # seconds that the good client is measured by itself first
ATTACKS = 200.0  # requests per second of all attackers: what is measured is what one costs others, not full processors
PATIENCE = 1.0  # seconds that an attacker waits for its answer
HALF_OPEN = 20  # connections that each attacker leaves unfinished
FIFTHS = 5  # of the requests, after each of which memory is looked at
NO_HELP = 503
LEAST_ACCEPTED = 0.1  # of the requests: else they break at the door, and nothing behind it is tried
MOST_FAILED = 0.01  # of the good client's
MOST_SLOWED = 3.0  # times its p99 alone
MOST_GROWN = 30  # MB, or a fifth where that is more


@dataclass
class Answers:
    """By status, 0 for none, and by kind of request those accepted; `wrong` is what must not be."""

    statuses: Counter[int] = field(default_factory=Counter)
    sent: Counter[str] = field(default_factory=Counter)
    accepted: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def note(self, forged: Forged, status: int, *, is_limit: bool) -> None:
        self.statuses[status] += 1
        self.sent[forged.kind] += 1
        self.accepted[forged.kind] += 200 <= status < 300
        if status >= 500 and not is_limit:
            self.wrong.append(f"{status} to {forged.sent[:2000]!r}")


@dataclass
class Found:
    """What came of it; memory in MB, after each fifth of the requests."""

    seed: int
    answers: Answers
    alone: Met
    beside: Met
    memory: list[int]

    def assert_clean(self) -> None:
        """Raises AssertionError; says nothing of how fast it was."""
        assert not self.answers.wrong, f"seed {self.seed}: {self.answers.wrong[:5]}"
        assert self.beside.failed.total() < MOST_FAILED * len(self.beside.seconds), self.beside.failed
        assert self.answers.accepted.total() >= LEAST_ACCEPTED * self.answers.sent.total(), self.answers.accepted
        warm, end = self.memory[0], self.memory[-1]
        assert end - warm <= max(MOST_GROWN, warm // 5), f"{warm} MB became {end} MB"

    def assert_quick(self) -> None:
        """Raises AssertionError where the good client was kept waiting."""
        assert self.beside.p99 <= MOST_SLOWED * self.alone.p99, f"{self.alone.p99:.1f} ms, {self.beside.p99:.1f} ms"


def besiege(database: str, folder: Path, *, requests: int, seed: int, alone: float = ALONE) -> Found:
    """Send so many forged requests to an API of its own on this database."""
    port, answers = free_port(), Answers()
    api = HeraldProcess("api", "--port", str(port), folder=folder, settings={"DATABASE_URL": database})
    api.start()
    try:
        eventually(lambda: accepts(port), 60.0, what="the API listens")
        models, ids = models_of(_read(port, "/docs/openapi.json")), _known(port)
        call_alone(port, alone / 4)  # whatever is slow the first time is over
        before = call_alone(port, alone)
        with calling(port) as beside, ThreadPoolExecutor(ATTACKERS) as pool:
            attacks = [
                pool.submit(_attack, port, draw, requests // ATTACKERS, models, ids, answers)
                for draw in attackers_of(seed)
            ]
            memory = [
                _memory_after(requests * fifth // FIFTHS, answers, attacks, api.pid) for fifth in range(1, FIFTHS)
            ]
            for attack in attacks:
                attack.result()
        memory.append(_memory(api.pid))
        if not api.running:
            answers.wrong.append("the API ended")
        if '"request_failed"' in api.log.read_text():
            answers.wrong.append(f"an error nobody foresaw, in {api.log}: {api.tail()}")
    finally:
        api.stop()
    return Found(seed, answers, before, beside, memory)


def describe(found: Found) -> str:
    """The report."""
    answers = found.answers
    by_status = {
        f"answered {status}" if status else "not answered": answers.statuses[status]
        for status in sorted(answers.statuses)
    }
    figures = {
        "requests": answers.sent.total(),
        "**accepted**": f"{answers.accepted.total() / answers.sent.total():.0%}",
        **by_status,
        "**5xx but 503 with Retry-After**": len(answers.wrong),
        "good requests, **failed**": f"{len(found.beside.seconds)}, {found.beside.failed.total()}",
        "**p99 of the good client** alone, beside": f"{found.alone.p99:.1f} ms, {found.beside.p99:.1f} ms",
        "memory after each fifth": ", ".join(f"{memory} MB" for memory in found.memory),
    }
    head = f"{machine()}. Seed {found.seed}, {ATTACKERS} attackers with {ATTACKS:g} requests per second in all;"
    head += f" a good client with {RATE:g}."
    kinds = {
        kind: f"{answers.sent[kind]:,}, {answers.accepted[kind] / answers.sent[kind]:.0%}"
        for kind in sorted(answers.sent)
    }
    report = measured(head, figures, table(("what is odd", "requests, accepted"), kinds))
    return f"{report}\n\n{'WRONG' if answers.wrong else 'No answer was wrong.'}"


def attackers_of(seed: int) -> list[Random]:
    """What each attacker draws from."""
    return [Random(f"{seed}.{number}") for number in range(ATTACKERS)]  # noqa: S311 - a plan that can be repeated


def _read(port: int, path: str, body: str | None = None) -> dict[str, object]:
    headers = {"content-type": "application/json"} if body else {}
    request = Request(f"http://127.0.0.1:{port}{path}", body.encode() if body else None, headers)
    with urlopen(request, timeout=30) as answer:
        found: dict[str, object] = json.load(answer)
    return found


def _known(port: int) -> list[str]:
    """The ids of some messages."""
    return [str(_read(port, "/notifications", GOOD)["id"]) for _ in range(20)]


def _attack(port: int, draw: Random, count: int, models: Sequence[Model], ids: Sequence[str], answers: Answers) -> None:
    unfinished: list[socket.socket] = []
    began, pause = monotonic(), threading.Event()
    for number in range(count):
        pause.wait(max(0.0, began + number * ATTACKERS / ATTACKS - monotonic()))
        forged = forge(draw, models, ids)
        answer = b""
        with contextlib.suppress(OSError):
            connection = socket.create_connection(("127.0.0.1", port), PATIENCE)
            if forged.is_half and draw.random() < 0.5:
                unfinished.append(connection)
                _send(connection, forged)
            else:
                with connection:
                    _send(connection, forged)
                    answer = _answer(connection, forged)
        if len(unfinished) > HALF_OPEN:
            unfinished.pop(0).close()
        status = int(answer[9:12]) if answer[9:12].isdigit() else 0
        answers.note(forged, status, is_limit=status == NO_HELP and b"retry-after" in answer.lower())
    for connection in unfinished:
        connection.close()


def _send(connection: socket.socket, forged: Forged) -> None:
    """All of it, unless the API has heard enough before."""
    with contextlib.suppress(OSError):
        for piece in _pieces(forged):
            connection.sendall(piece)


def _answer(connection: socket.socket, forged: Forged) -> bytes:
    """Its beginning; 100 is none yet."""
    if forged.is_half:
        return b""
    answer = connection.recv(4096)
    while answer.startswith(b"HTTP/1.1 100"):
        answer = answer.partition(b"\r\n\r\n")[2] or connection.recv(4096)
    return answer


def _pieces(forged: Forged) -> Iterator[bytes]:
    for start in range(0, len(forged.sent), forged.piece):
        yield forged.sent[start : start + forged.piece]


def _memory_after(requests: int, answers: Answers, attacks: Sequence[Future[None]], pid: int) -> int:
    """Once so many are answered, or an attacker has ended, which its result then tells."""
    eventually(
        lambda: answers.statuses.total() >= requests or any(attack.done() for attack in attacks),
        3600.0,
        what=f"{requests} are answered",
    )
    return _memory(pid)


def _memory(pid: int) -> int:
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) // 1024
