"""What the parts measure with: a side's stage, how much to do, and calls into it."""

import json
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from http.client import HTTPConnection
from typing import Any, NamedTuple

from benchmarks import letters
from benchmarks.costs import adapters, histories
from benchmarks.logs import Kind, loaded
from benchmarks.stage import Stage
from tests.servers.herald import herald_environment

TIMEOUT = 60.0  # seconds of one request
SENT = Kind(histories.load, (histories, letters))
JSON = {"content-type": "application/json"}


@dataclass(frozen=True)
class Sizes:
    """How much is done in one round."""

    rows: int = 1_000_000  # messages of the large log
    beneath: int = 100_000  # messages that are there before the moves
    moved: int = 10_000  # messages that are moved 25 at a time
    alone: int = 300  # messages that are moved one at a time
    drained: int = 50_000  # messages for the pipeline
    seconds: float = 20.0  # of requests
    pages: int = 100  # of each kind


SHORT = Sizes(rows=20_000, beneath=2_000, moved=500, alone=25, drained=2_000, seconds=3.0, pages=20)


class Reading(NamedTuple):
    """What was found at once: figures by the names of their lines, and percent of the machine's time that was idle."""

    figures: dict[str, float]
    idle: float


Measure = Callable[[], list[Reading]]
Part = Callable[["Bench"], AbstractContextManager[Measure]]  # prepared once for a side, measured once a round


@dataclass
class Bench:
    """One side of the comparison."""

    stage: Stage
    sizes: Sizes

    @cached_property
    def small_log(self) -> str:
        """A database to be copied."""
        return loaded(self.stage, self.sizes.beneath, SENT)

    @cached_property
    def large_log(self) -> str:
        """A database to be copied."""
        return loaded(self.stage, self.sizes.rows, SENT)

    @cached_property
    def whole(self) -> str:
        """The one copy of the large log that all parts work on: a copy takes as long as it is large."""
        return self.stage.database(template=self.large_log)

    @property
    def used(self) -> list[str]:
        """The logs that were needed."""
        return [str(log) for name, log in vars(self).items() if name in {"small_log", "large_log"}]

    def close(self) -> None:
        if "whole" in vars(self):
            self.stage.drop(self.whole)


def request(connection: HTTPConnection, method: str, path: str, body: bytes | None = None) -> Any:
    """The answer to a request that succeeds, over a connection that stays open."""
    connection.request(method, path, body, JSON if body else {})
    answer = connection.getresponse()
    content = answer.read()
    assert answer.status in {HTTPStatus.OK, HTTPStatus.ACCEPTED}, content
    return json.loads(content)


def post(connection: HTTPConnection, waiting: Sequence[tuple[str, bytes]]) -> list[str]:
    """Have them accepted in one transaction; returns their ids."""
    body = b'{"items":[' + b",".join(data for _, data in waiting) + b"]}"
    return [one["id"] for one in request(connection, "POST", "/notifications/bulk", body)["items"]]


class Inside:
    """Calls the functions of a side, which runs in a process of its own."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def call(self, name: str, ids: Sequence[str]) -> float:
        """`claim` or `record`; returns how many seconds it took there."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps({"call": name, "ids": ids}) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the process inside the side has ended"
        return float(json.loads(answer)["seconds"])


@contextmanager
def inside(stage: Stage, settings: dict[str, str]) -> Iterator[Inside]:
    """Its process; what it complains of is shown."""
    command = [str(stage.side.python), str(adapters.FOLDER / "serve.py"), adapters.fitting(stage.side.root)]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=herald_environment(settings),
        cwd=stage.folder,
        text=True,
    ) as process:
        yield Inside(process)
