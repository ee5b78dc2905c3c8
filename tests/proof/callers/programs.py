"""The programs of callers, one for each way to reach PostgreSQL, as children that may be killed."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from tests.clients.building import CLIENTS, TYPESCRIPT, assert_passes, build_typescript, missing
from tests.conftest import ROOT
from tests.proof.callers.plans import TRIGGER, WAYS, Step

FOLDER = Path(__file__).parent
NEEDED = {"Node": ("node", "npm"), "Go": ("go",)}  # beside Python


def lacking() -> list[str]:
    """What is not installed here, though a way needs it."""
    return missing(*(program for programs in NEEDED.values() for program in programs))


def installed() -> list[str]:
    """The ways that can be gone here."""
    return [way for way in WAYS if not missing(*NEEDED.get(way, ()))]


@cache
def command(way: str) -> tuple[str, ...]:
    """That starts the program; what has to be built is built once."""
    if way == "Node":
        build_typescript()
        return ("node", str(FOLDER / "program.mjs"), str(TYPESCRIPT))
    if way == "Go":
        made = Path(tempfile.mkdtemp(prefix="herald-caller-")) / "program"
        assert_passes(["go", "build", "-o", str(made), str(FOLDER / "program.go")], CLIENTS / "go" / "drivers")
        return (str(made),)
    return (sys.executable, "-m", "tests.proof.callers.program", "psycopg" if way == TRIGGER else way)


class Program:
    """A running one. It says words when it comes to them."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def tell(self, steps: Sequence[Step]) -> None:
        """Do this, as soon as all before it is done."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps(steps) + "\n")
        self._process.stdin.flush()

    def hear(self, word: str) -> None:
        """Return once it has said it. Raises AssertionError where it ends before that, or says another."""
        assert self._process.stdout
        said = self._process.stdout.readline().rstrip("\n")
        assert said == word, f"{self._process.args!r} said {said!r}, not {word!r}"

    def said_before_it_was_killed(self) -> list[str]:
        """Kill it with SIGKILL, and read what it had said."""
        self._process.kill()
        assert self._process.stdout
        return self._process.stdout.read().split("\n")[:-1]


@contextmanager
def running(way: str, url: str) -> Iterator[Program]:
    """Ended when the block has; what went wrong in it is on the standard error of the tests."""
    with subprocess.Popen(
        command(way),
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": url},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Program(process)
        finally:
            process.kill()


def perform(way: str, url: str, plans: Iterable[Sequence[Step]]) -> None:
    """All of these transactions, one after the other."""
    with running(way, url) as program:
        for steps in plans:
            program.tell([*steps, ("say", "done")])
            program.hear("done")
