"""`herald up` as a newcomer runs it: its own servers, a demonstration, another terminal, an end without remains."""

import json
import os
import shlex
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx2
import pytest

from tests.conftest import StartHerald
from tests.servers.eventually import eventually
from tests.servers.herald import HeraldProcess, herald_environment
from tests.servers.ports import free_port

UP = 120.0  # seconds until everything has started and the demonstration is over; about 12 on an idle machine
EVERYTHING = {"postgres", "tansu", "relay", "pipeline", "api"}


class Machine:
    """One data folder on which `herald up` is run again and again."""

    def __init__(self, start: StartHerald, data: Path) -> None:
        self._start = start
        self.data = data
        self.url = f"http://127.0.0.1:{free_port()}"

    def up(self, *arguments: str) -> HeraldProcess:
        address = ("--port", self.url.rpartition(":")[2])
        return self._start("up", *address, "--data", str(self.data), *arguments, HERALD_OPEN="")

    def in_another_terminal(self, command: str) -> str:
        """The output of a shell command once `env` was read. Raises CalledProcessError."""
        script = f". {shlex.quote(str(self.data))}/env; {command}"
        # not from the folder of the first terminal, and without its variables
        return subprocess.run(
            ["sh", "-c", script], cwd="/", env=herald_environment({}), capture_output=True, text=True, check=True
        ).stdout

    def post(self, number: int) -> str:
        body = {"user_id": number, "event": "late", "content": "posted while the pipeline hangs"}
        answer = httpx2.post(f"{self.url}/notifications", json=body, timeout=10)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def status_of(self, message: str) -> str:
        with suppress(httpx2.TransportError):  # it is still starting
            return str(httpx2.get(f"{self.url}/notifications/{message}", timeout=10).json().get("status"))
        return "unreachable"


@pytest.fixture
def machine(start_herald: StartHerald) -> Iterator[Machine]:
    with TemporaryDirectory(prefix="herald-up-", ignore_cleanup_errors=True) as folder:
        # pytest's own folder is closed to the user that PostgreSQL runs as: the data would stay, elsewhere
        Path(folder).chmod(0o755)
        yield Machine(start_herald, Path(folder) / "data")


def test_herald_up_delivers_its_demonstration_and_ends_without_remains(machine: Machine) -> None:
    up = machine.up("--demo", "5")
    up.wait_for("5 of 5 delivered", UP)
    up.wait_for("none is needed here: HERALD_OPEN=yes")
    children = descendants(up.pid)
    assert {name for name in EVERYTHING if any(name in command for command in children.values())} == EVERYTHING

    shown: dict[str, Any] = json.loads(machine.in_another_terminal("herald status --json"))
    assert shown["messages"]["by_status"] == {"sent": 5}
    sent = "SELECT count(*) FROM herald.notifications WHERE sent_status"
    assert machine.in_another_terminal(f"psql -Atc '{sent}'").strip() == "5"

    up.send(signal.SIGUSR1)
    eventually(lambda: roles_that_said(up, "log_level_changed") == {"api", "relay", "pipeline"})
    assert up.stop() == 0
    assert [command for pid, command in children.items() if is_alive(pid)] == []
    assert {line["role"] for line in told(up)} >= {"herald", "migrate", "api", "relay", "pipeline"}


def roles_that_said(up: HeraldProcess, event: str) -> set[str]:
    return {line["role"] for line in told(up) if line["event"] == event}


def told(up: HeraldProcess) -> list[dict[str, Any]]:
    """Outside a terminal every line is JSON, its own and those of the servers included."""
    return [json.loads(line) for line in up.output().splitlines()]


def test_what_was_unfinished_at_the_end_of_herald_up_is_delivered_by_the_next_one(machine: Machine) -> None:
    first = machine.up("--demo", "1")
    first.wait_for("1 of 1 delivered", UP)
    (pipeline,) = (pid for pid, command in descendants(first.pid).items() if command.endswith(" pipeline"))
    os.kill(pipeline, signal.SIGSTOP)  # what is published now is forgotten with the broker
    posted = [machine.post(number) for number in range(3)]
    assert first.stop() == 0

    second = machine.up()

    eventually(lambda: {machine.status_of(message) for message in posted} == {"sent"}, UP)
    assert second.stop() == 0


def descendants(pid: int) -> dict[int, str]:
    """The command lines of all that a process started, by process id."""
    parents = {int(stat.parent.name): parent_of(stat) for stat in Path("/proc").glob("[0-9]*/stat")}
    found: dict[int, str] = {}
    generation = {pid}
    while generation := {child for child, parent in parents.items() if parent in generation}:
        found.update({child: command_of(child) for child in generation})
    return found


def parent_of(stat: Path) -> int:
    with suppress(FileNotFoundError, ProcessLookupError):
        return int(stat.read_text().rpartition(")")[2].split()[1])
    return 0


def command_of(pid: int) -> str:
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    return ""


def is_alive(pid: int) -> bool:
    """A zombie that nobody has reaped yet does nothing any more."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False
