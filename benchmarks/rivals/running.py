"""Runs a rival in its own environment, on a database of its own."""

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from benchmarks.environments import EnvironmentMissingError, installed
from benchmarks.figures import Contest, Missing, Result, Target
from benchmarks.run import Run
from benchmarks.side import HERE
from benchmarks.stage import Stage
from benchmarks.waiting import answers, started, until
from tests.servers.child import Child
from tests.servers.herald import herald_environment
from tests.servers.ports import free_port

JOB_QUEUE = ("pgqueuer[asyncpg]==1.6.0", "aiohttp==3.14.5")
OUTBOX_TABLE = ("faststream-outbox[asyncpg]==0.19.0", "faststream==0.7.8")
SEED = ("kafka-python==3.0.12", "lz4==4.4.5", "sqlalchemy==2.1.9", "psycopg2-binary==2.9.11")
READY = 30.0  # seconds
LONGEST = 300.0  # seconds of one turn


@dataclass
class Rival:
    """One of them, with its settings in words; `why` is set where it cannot run here."""

    name: str
    module: str
    packages: tuple[str, ...]
    arguments: tuple[str, ...] = ()
    target: Target = field(default_factory=Target)
    why: str = ""
    version: str = ""

    def measure(self, run: Run, count: int, *more: str) -> dict[str, Any] | None:
        """What it printed; None where it cannot run, now and later."""
        if self.why:
            return None
        try:
            python = installed(self.packages, run.cache)
            command = [str(python), "-m", f"benchmarks.rivals.{self.module}", str(count), *self.arguments, *more]
            with _own_database(run.stage) as settings:
                found: dict[str, Any] = _finish(run.stage, command, settings)
        except (EnvironmentMissingError, RuntimeError) as error:
            self.why = str(error)
            return None
        self.version = found["version"]
        return found


@dataclass
class Turns:
    """Herald beside several rivals at the same thing."""

    name: str
    rivals: Sequence[Rival]
    herald: list[tuple[float, float]] = field(default_factory=list)  # rate and idle of each round
    others: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def add(self, run: Run, herald: tuple[float, float], count: int, *more: str) -> None:
        """Each of them in this round, after Herald."""
        self.herald.append(herald)
        for rival in self.rivals:
            if found := rival.measure(run, count, *more):
                self.others.setdefault(rival.name, []).append((found["rate"], found["idle"]))

    def results(self) -> Iterator[Result]:
        for rival in self.rivals:
            if rival.why:
                yield Missing(f"{self.name}, beside {rival.name}", rival.why)
                continue
            contest = Contest(self.name, f"{rival.name} ({rival.version})", rival.target)
            for (ours, left), (theirs, left_by_them) in zip(self.herald, self.others[rival.name], strict=True):
                contest.add(ours, theirs, (left, left_by_them))
            yield contest


@contextmanager
def receiver(run: Run, seconds: float) -> Iterator[int]:
    """The port of something that answers every POST after so long. Raises EnvironmentMissingError."""
    python, port = installed(JOB_QUEUE, run.cache), free_port()
    command = [str(python), "-m", "benchmarks.rivals.receiver", str(port), str(seconds)]
    log = run.stage.folder / "receiver.log"
    with started(Child(command, log=log, env=herald_environment({}), cwd=_home(run.stage))) as process:
        until(lambda: answers(port), process, READY, what="the receiver answers")
        yield port


def _home(stage: Stage) -> Path:
    """Where Python finds the benchmarks and nothing else of the checkout: its folder `alembic` hides a library."""
    home = stage.folder / "rivals"
    home.mkdir(exist_ok=True)
    if not (home / "benchmarks").exists():
        (home / "benchmarks").symlink_to(HERE.root / "benchmarks")
    return home


@contextmanager
def _own_database(stage: Stage) -> Iterator[dict[str, str]]:
    database = f"bench_{uuid4().hex}"
    stage.server.execute(f"CREATE DATABASE {database}")
    yield stage.settings(database)
    stage.drop(database)


def _finish(stage: Stage, command: list[str], settings: dict[str, str]) -> Any:
    settings = {name: value for name, value in settings.items() if name != "PYTHONPATH"}
    try:
        done = subprocess.run(
            command,
            env=herald_environment(settings),
            cwd=_home(stage),
            capture_output=True,
            text=True,
            check=False,
            timeout=LONGEST,
        )
    except subprocess.TimeoutExpired as error:
        message = f"not done within {LONGEST:g} s"
        raise RuntimeError(message) from error
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["it ended without a word"])[-1])
    return json.loads(done.stdout.splitlines()[-1])
