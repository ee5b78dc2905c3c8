"""The supervisor of several processes of the API, a pass at a time."""

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from herald.api import seat
from herald.api.supervisor import Supervisor, listen
from tests.api.conftest import NOWHERE
from tests.api.serving import Caller
from tests.servers.eventually import eventually
from tests.servers.processes import is_gone, state_of

STARTED = 30.0  # seconds until two processes listen, beside whatever else the machine does
# A process that leaves to the others what they do not take within an hour, so that no test depends on who is quicker
PATIENT = """
import sys
from herald.api import accepting, worker
accepting.MOMENT = 3600.0
worker.main(sys.argv[1:])
"""
# A process that listens at once, and serves nobody
IDLE = "import signal, socket, sys; socket.socket(fileno=int(sys.argv[1])).send(b'.'); signal.pause()"
# One that says of itself what stands in a file
TELLING = """
import pathlib, socket, sys, time
line, says = socket.socket(fileno=int(sys.argv[2])), pathlib.Path(sys.argv[1])
while True:
    line.send(says.read_bytes() or b".")
    time.sleep(0.02)
"""
Told = Callable[[str], list[int]]


@contextlib.contextmanager
def supervised(count: int) -> Iterator[tuple[Supervisor, int, Told]]:
    """A supervisor in this process, its port, and a pass of it that gives the process ids of all lines so far."""
    listeners = listen("127.0.0.1", 0)
    supervisor = Supervisor(listeners, count)

    def told(event: str) -> list[int]:
        supervisor.watch()
        return [log.get("pid", 0) for log in logs if log["event"] == event]

    with capture_logs() as logs, contextlib.ExitStack() as stack:
        for listener in listeners:
            stack.enter_context(listener)
        stack.callback(supervisor.stop)
        yield supervisor, listeners[0].getsockname()[1], told


def pids_of(told: Told, count: int) -> list[int]:
    """Of the first so many that listen."""
    return eventually(lambda: found if len(found := told("api_process_listens")) == count else [], STARTED)


def test_a_connection_waits_for_a_process_that_has_fewer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, database: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", database)
    monkeypatch.setenv("HERALD_OPEN", "yes")
    monkeypatch.setattr(seat, "PROGRAM", (sys.executable, "-P", "-c", PATIENT))

    with supervised(2) as (_, port, told), contextlib.ExitStack() as stack:
        busy, stopped = pids_of(told, 2)
        os.kill(stopped, signal.SIGSTOP)
        eventually(lambda: state_of(stopped).startswith("T"), what="it takes no connection")
        earlier = stack.enter_context(Caller(port))
        earlier.post()
        assert b"HTTP/1.1 202" in earlier.read_head()

        later = stack.enter_context(Caller(port))
        later.post()
        earlier.post()
        assert b"HTTP/1.1 202" in earlier.read_head(), "the busy one has seen the later connection before this request"
        os.kill(stopped, signal.SIGCONT)
        assert b"HTTP/1.1 202" in later.read_head()

        os.kill(busy, signal.SIGKILL)
        earlier.read_all()
        later.post()
        assert b"HTTP/1.1 202" in later.read_head(), "the other process has it"


def test_one_whose_event_loop_hangs_is_killed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", NOWHERE)

    with supervised(1) as (_, _, told):
        (pid,) = pids_of(told, 1)
        os.kill(pid, signal.SIGSTOP)
        monkeypatch.setattr(seat, "UNHEARD", 100)  # looks, each 20 ms here
        ended = eventually(lambda: told("api_process_ended"), what="its end is seen")

        assert ended == [pid]
        assert pid in told("api_process_killed")


def test_where_no_process_can_be_started_those_that_serve_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seat, "PROGRAM", (sys.executable, "-c", IDLE))

    with supervised(2) as (supervisor, _, told):
        killed, other = pids_of(told, 2)
        with monkeypatch.context() as lacking:
            lacking.setattr(seat, "PROGRAM", ("/nowhere/python",))
            os.kill(killed, signal.SIGKILL)
            eventually(lambda: told("api_process_not_started"), what="one cannot be started")
            supervisor.restart()
            eventually(lambda: told("api_restart_given_up"), what="the other cannot be replaced")

        pids_of(told, 3)
        assert told("api_process_ended") == [killed]
        assert not is_gone(other)


def test_a_restart_that_is_asked_for_during_another_replaces_whom_that_one_had_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(seat, "PROGRAM", (sys.executable, "-c", IDLE))

    with supervised(2) as (supervisor, _, told):
        before = pids_of(told, 2)
        supervisor.restart()
        supervisor.watch()
        supervisor.restart()
        started_by_the_first, *others = pids_of(told, 5)[2:]

        eventually(lambda: told("api_process_listens") and is_gone(started_by_the_first), what="it is replaced")
        assert all(map(is_gone, before))
        assert not any(map(is_gone, others))


def test_a_process_that_says_nothing_makes_live_red_before_it_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seat, "PROGRAM", (sys.executable, "-c", IDLE))
    monkeypatch.setattr(seat, "SILENT", 3)
    with supervised(1) as (supervisor, _, told):
        (pid,) = pids_of(told, 1)
        assert supervisor.stuck() == []

        eventually(lambda: told("nothing") == [] and supervisor.stuck() == [f"process {pid}"], STARTED)


def test_a_process_that_says_that_a_thread_is_stuck_is_red_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    says = tmp_path / "says"
    says.write_text(".")
    monkeypatch.setattr(seat, "PROGRAM", (sys.executable, "-c", TELLING, says))
    with supervised(1) as (supervisor, _, told):
        (pid,) = pids_of(told, 1)

        says.write_text("!")
        eventually(lambda: told("nothing") == [] and supervisor.stuck() == [f"process {pid}"], what="it is named")

        says.write_text(".")
        eventually(lambda: told("nothing") == [] and supervisor.stuck() == [], what="it is not any more")
