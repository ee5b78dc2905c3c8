"""What is frozen or taken away, and what its probes say of that."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Event
from time import monotonic

from tests.proof.probes.frozen import API, PARTS
from tests.proof.probes.stage import STANDBY, Stage
from tests.proof.probes.watching import Probe
from tests.servers.eventually import eventually

RED_WITHIN, GREEN_WITHIN = 30.0, 10.0  # seconds, as the docs promise
GIVEN_UP = 60.0  # seconds until the probe will never change
AWAY = 75.0  # seconds for which a server is away: longer than a pipeline has patience with either
LOOK = 0.2  # seconds between two looks at who has ended
WAITS_FOR_LOCK = "session that waits for the lock"


@dataclass(frozen=True)
class Case:
    """`probes` are to be red while it lasts, those in `may` may be, and no other one."""

    what: str
    begin: Callable[[], None]
    end: Callable[[], None]
    probes: frozenset[Probe]
    lasts: float = 0.0  # seconds, at least
    may: frozenset[Probe] = frozenset()


@dataclass(frozen=True)
class Found:
    """What came of a case; `others` were red though they should not have been."""

    what: str
    said: str
    probes: frozenset[Probe]
    red_after: float
    green_after: float
    others: Sequence[Probe]
    ended: int
    lost: int

    @property
    def wrong(self) -> list[str]:
        is_late = [f"red after {self.red_after:.1f} s"] if self.red_after > RED_WITHIN else []
        is_late += [f"green after {self.green_after:.1f} s"] if self.green_after > GREEN_WITHIN else []
        others = [f"{role} was not {state}" for role, state in self.others]
        lost = [f"{self.lost} were not delivered"] if self.lost else []
        ended = [f"{self.ended} processes ended"] if self.ended else []
        return [f"{self.what}: {one}" for one in (*is_late, *others, *lost, *ended)]


def hanging(stage: Stage) -> list[Case]:
    """A part of a process hangs, and goes on."""
    return [hangs(stage, role, part) for role in ("api", "relay", "pipeline") for part in parts_of(role)]


def parts_of(role: str) -> Sequence[str]:
    return list(API if role == "api" else PARTS[role])


def hangs(stage: Stage, role: str, part: str) -> Case:
    whose = STANDBY if part == WAITS_FOR_LOCK else role
    return Case(
        f"{whose}: {part}",
        lambda: stage.freeze(whose, part),
        lambda: stage.thaw(whose),
        frozenset({(whose, "live")}),
    )


def stopped(stage: Stage) -> list[Case]:
    """A whole process is frozen: nobody answers its probes."""
    processes = stage.herald.processes
    return [
        Case(f"{role}: the whole process", processes[role].pause, processes[role].resume, both(role))
        for role in ("api", "relay", "pipeline")
    ]


def both(*roles: str) -> frozenset[Probe]:
    return frozenset((role, state) for role in roles for state in ("live", "ready"))


def ready(*roles: str) -> frozenset[Probe]:
    return frozenset((role, "ready") for role in roles)


def play(stage: Stage, case: Case) -> Found:
    """Begin it, wait until its probes are red, end it, and wait until all is normal."""
    stage.have_relay_lead()
    eventually(lambda: stage.watching.all_green, GIVEN_UP, what="all are green before")
    before, ended_before, pause = monotonic(), len(stage.ended), Event()
    case.begin()
    began = monotonic()
    try:
        red_after = _wait(lambda: not any(map(stage.watching.is_green, case.probes)))
        while monotonic() - began < case.lasts:
            stage.revive()
            pause.wait(LOOK)
    finally:
        case.end()
    green_after = _wait(lambda: stage.revive() and all(map(stage.watching.is_green, case.probes)))
    ended = len(stage.ended) - ended_before
    red = stage.watching.red_since(before)
    said = next((one.why for probe, one in red.items() if probe in case.probes), "nothing")
    others = sorted(set(red) - case.probes - case.may)
    return Found(case.what, said, case.probes, red_after, green_after, others, ended, stage.lost())


def _wait(condition: Callable[[], object]) -> float:
    """Seconds until it holds; as long as is waited for at most where it never does."""
    began = monotonic()
    with suppress(AssertionError):
        eventually(condition, GIVEN_UP)
    return monotonic() - began
