"""The supervisor, with small real children."""

import io
import math
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from herald.outbox.restarts import HEALTHY
from herald.outbox.up.start import herald
from herald.outbox.up.supervisor import (
    GRACE,
    TROUBLED,
    Member,
    Player,
    Role,
    Signals,
    Supervisor,
)
from herald.outbox.up.terminal import Terminal
from tests.docs.pages import ROOT
from tests.servers.eventually import eventually

LIVES = "import signal; print('here', flush=True); signal.pause()"
STUBBORN = "import signal; signal.signal(15, signal.SIG_IGN); print('here', flush=True)\nwhile True: signal.pause()"
ENDS = "raise SystemExit(3)"

MakeRole = Callable[..., Role]


class Clock:
    """Time that passes only when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def output() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def terminal(output: io.StringIO) -> Terminal:
    return Terminal(Console(file=output, soft_wrap=True, highlight=False))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def signals() -> Iterator[Signals]:
    with Signals() as signals:
        yield signals


@pytest.fixture
def supervisor(terminal: Terminal, clock: Clock) -> Iterator[Supervisor]:
    supervisor = Supervisor(terminal, clock)
    yield supervisor
    for member in supervisor.members:
        if member.child:
            member.child.kill()


@pytest.fixture
def role() -> MakeRole:
    def make(name: str, program: str, *, stop_by: float = 5.0) -> Role:
        return Role(name=name, command=[sys.executable, "-c", program], env=dict(os.environ), stop_by=stop_by)

    return make


def wait_of(member: Member, supervisor: Supervisor, clock: Clock) -> float | None:
    """After another look: the seconds until it starts again, None while it runs."""
    supervisor.watch()
    return member.due_at - clock.now if member.child is None else None


def test_a_process_that_ends_starts_again_after_a_pause(
    supervisor: Supervisor, clock: Clock, role: MakeRole, output: io.StringIO
) -> None:
    member = supervisor.start(role("relay", ENDS))
    first = member.child

    eventually(lambda: wait_of(member, supervisor, clock) == pytest.approx(0.2), what="its end is seen")
    clock.now += 0.3
    supervisor.watch()

    assert member.child is not None
    assert member.child is not first
    assert "relay ended (exit code 3) after 0.0 s, again in 0.2 s" in output.getvalue()


READY = 'print(\'{"event": "leading"}\', flush=True)\n'


@pytest.fixture
def kill(supervisor: Supervisor, clock: Clock) -> Callable[[Role, float], float]:
    """Start it, let it be ready for so many seconds, kill it; gives the seconds until it starts again."""

    def kill(played: Role, ready_for: float) -> float:
        member = supervisor.start(replace(played, ready=frozenset({"leading", "standing_by"})))
        child = member.child
        assert child
        eventually(lambda: child.ready_at < math.inf, what="it is ready")
        clock.now += ready_for
        child.kill()
        return wait_of(member, supervisor, clock) or 0.0

    return kill


def test_who_was_ready_for_ten_seconds_and_is_killed_starts_again_at_once(
    kill: Callable[[Role, float], float], role: MakeRole, output: io.StringIO
) -> None:
    assert kill(role("relay", READY + LIVES), HEALTHY) == 0.0
    assert "relay ended (signal 9) after 10.0 s, again at once" in output.getvalue()


def test_who_was_ready_for_less_and_is_killed_backs_off(kill: Callable[[Role, float], float], role: MakeRole) -> None:
    assert kill(role("relay", READY + LIVES), HEALTHY - 1.0) == pytest.approx(0.2)


def test_who_lived_for_long_and_was_never_ready_backs_off(supervisor: Supervisor, clock: Clock, role: MakeRole) -> None:
    waiting = role("pipeline", 'print(\'{"event": "waiting_for_kafka"}\', flush=True)\n' + LIVES)
    member = supervisor.start(replace(waiting, ready=frozenset({"pipeline_started"})))
    assert member.child
    supervisor.watch()
    clock.now += 3600.0

    member.child.kill()
    supervisor.watch()

    assert member.child is None
    assert member.due_at - clock.now == pytest.approx(0.2)


def test_who_was_ready_for_long_and_ends_by_itself_backs_off(
    supervisor: Supervisor, clock: Clock, role: MakeRole
) -> None:
    member = supervisor.start(replace(role("relay", READY + "input() or 1 / 0"), ready=frozenset({"leading"})))
    first = member.child
    assert first
    eventually(lambda: first.ready_at < math.inf, what="it is ready")
    clock.now += HEALTHY

    eventually(lambda: wait_of(member, supervisor, clock) == pytest.approx(0.2), what="its end is seen")


@pytest.mark.parametrize(
    ("name", "event"), [("api", "api_starting"), ("relay", "leading"), ("pipeline", "pipeline_started")]
)
def test_each_process_of_herald_says_when_it_does_its_work(name: str, event: str) -> None:
    code = "".join(
        path.read_text() for path in (ROOT / "api", ROOT / "outbox", ROOT / "pipeline") for path in path.rglob("*.py")
    )

    assert event in herald(name, {}).ready
    assert f'_log.info("{event}"' in code


def test_a_process_that_ends_five_times_in_a_row_is_reported_until_it_lives(
    terminal: Terminal, clock: Clock, role: MakeRole, tmp_path: Path
) -> None:
    report = tmp_path / "troubled"
    supervisor = Supervisor(terminal, clock, report=report)
    member = supervisor.start(role("relay", ENDS))

    def watch() -> int:
        clock.now += 1.0
        supervisor.watch()
        return member.in_a_row

    eventually(lambda: watch() == TROUBLED - 1, what="it ended four times")
    assert report.read_text() == ""
    eventually(lambda: watch() == TROUBLED, what="it ended five times")
    assert report.read_text() == "relay"

    member.role = role("relay", LIVES)
    eventually(lambda: watch() == 0 and member.child, what="it lives")
    assert report.read_text() == ""
    assert member.child
    member.child.kill()


def test_a_process_takes_along_those_that_cannot_live_without_it(
    terminal: Terminal, clock: Clock, role: MakeRole, output: io.StringIO
) -> None:
    supervisor = Supervisor(terminal, clock)
    relay = supervisor.start(role("relay", LIVES)).child
    stubborn = supervisor.start(role("pipeline", STUBBORN)).child
    api = supervisor.start(role("api", LIVES)).child
    assert relay
    assert stubborn
    assert api
    eventually(lambda: output.getvalue().count("here") == 3)
    supervisor.start(replace(role("broker", ENDS), takes_along=("relay", "pipeline")))

    def end_of_relay() -> int | None:
        supervisor.watch()
        return relay.code

    eventually(lambda: end_of_relay() == -signal.SIGTERM, what="the relay was asked to stop")
    assert stubborn.code is None
    clock.now += GRACE
    supervisor.watch()

    assert stubborn.code == -signal.SIGKILL
    assert api.code is None
    for member in supervisor.members:
        if member.child:
            member.child.kill()


def test_a_process_that_lived_well_is_forgiven_its_earlier_ends(
    supervisor: Supervisor, clock: Clock, role: MakeRole
) -> None:
    member = supervisor.start(role("relay", ENDS))
    member.in_a_row = TROUBLED
    clock.now += HEALTHY

    eventually(lambda: wait_of(member, supervisor, clock) == pytest.approx(0.2), what="its end is seen")


def test_the_last_started_stops_first(
    supervisor: Supervisor, signals: Signals, role: MakeRole, output: io.StringIO
) -> None:
    farewell = "signal.signal(15, lambda *_: sys.exit(print('bye', flush=True)))"
    says = f"import signal, sys; {farewell}; print('here', flush=True); signal.pause()"
    for name in ("postgres", "relay", "api"):
        supervisor.start(role(name, says))
    eventually(lambda: output.getvalue().count("here") == 3)

    supervisor.stop(signals)

    goodbyes = [line.split()[0] for line in output.getvalue().splitlines() if "bye" in line]
    assert goodbyes == ["api", "relay", "postgres"]


def test_a_process_that_ignores_the_signal_is_killed_in_time(
    terminal: Terminal, signals: Signals, role: MakeRole, output: io.StringIO
) -> None:
    supervisor = Supervisor(terminal)
    child = supervisor.start(role("pipeline", STUBBORN, stop_by=0.2)).child
    eventually(lambda: "here" in output.getvalue())

    supervisor.stop(signals)

    assert child is not None
    assert child.code == -signal.SIGKILL
    assert "pipeline did not stop in time" in output.getvalue()


def test_a_second_request_kills_at_once(
    supervisor: Supervisor, signals: Signals, role: MakeRole, output: io.StringIO
) -> None:
    child = supervisor.start(role("pipeline", STUBBORN, stop_by=3600.0)).child
    eventually(lambda: "here" in output.getvalue())
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGTERM)

    supervisor.stop(signals)

    assert child is not None
    assert child.code == -signal.SIGKILL


def test_what_a_process_started_ends_with_it(terminal: Terminal, role: MakeRole, output: io.StringIO) -> None:
    parent = (
        f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {LIVES!r}]).pid, flush=True)\n{LIVES}"
    )
    child = Player(role("api", parent), terminal)
    eventually(lambda: output.getvalue().count("here") == 2)
    grandchild = next(int(word) for word in output.getvalue().split() if word.isdigit())

    child.kill()

    eventually(lambda: not is_running(grandchild), what="the grandchild is gone")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a child to its parent")
def test_children_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    started = tmp_path / "pid"
    parent = (
        "import os, sys, signal\n"
        "from herald.outbox.up.supervisor import Player, Role\n"
        "from herald.outbox.up.terminal import Terminal\n"
        f"role = Role(name='api', command=[sys.executable, '-c', {LIVES!r}], env=dict(os.environ), stop_by=1)\n"
        f"open({str(started)!r}, 'w').write(str(Player(role, Terminal()).pid) + '.')\n"
        "signal.pause()\n"
    )
    pid = os.spawnv(os.P_NOWAIT, sys.executable, [sys.executable, "-c", parent])
    try:
        eventually(lambda: started.exists() and started.read_text().endswith("."))
        child = int(started.read_text()[:-1])
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)

    eventually(lambda: not is_running(child), what="the child is gone")


def is_running(pid: int) -> bool:
    """Whether the process still does anything: a zombie that nobody reaps does not."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False
