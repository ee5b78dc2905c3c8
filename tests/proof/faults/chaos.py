"""Random kills under load: a seed makes the plan, the same seed makes it again.

Half of the blows come from outside, at a random moment. The other half start the victim anew so that it
kills itself at a crash point. No blow waits for an earlier victim to be back.
"""

import random
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from threading import Event
from time import monotonic
from typing import NamedTuple

from herald.outbox.crash_points import POINTS
from tests.proof.faults.fleet import ROLES, Fleet, Member
from tests.proof.faults.ledger import Load
from tests.proof.faults.provider import Provider
from tests.servers.eventually import eventually

STARTING_AT_ONCE = 3  # processes; a start takes a second of a core
LOOK = 0.02  # seconds between two looks at who has ended
MOST_TIMES = 20  # that a point is passed before it kills
FROM_OUTSIDE = "at a random moment"
BETWEEN = 20  # kills at most between two looks at whether anything goes on
PROGRESS = 120.0  # seconds in which a request has to be accepted and another to arrive, whatever is killed
RECENT = 1000  # requests that are looked at for it
RARE = ("scheduler.", "relay.locked", "relay.leading")  # passed once in a while: the first time counts


class Blow(NamedTuple):
    """Kill this one after a pause, and arm whoever it is by its role for its next life, or not."""

    pause: float
    victim: str
    arms: dict[str, str]


@dataclass
class Kills:
    """What was killed where, and what ended by itself."""

    by_victim: Counter[str] = field(default_factory=Counter)
    by_place: Counter[str] = field(default_factory=Counter)
    ended_by_themselves: int = 0
    seconds: float = 0.0
    arrived_meanwhile: int = 0

    @property
    def total(self) -> int:
        return self.by_victim.total()

    def note(self, victim: str, place: str) -> None:
        self.by_victim[victim] += 1
        self.by_place[place] += 1


def plan(seed: int, names: list[str], pace: float) -> Iterator[Blow]:
    """Without an end; `pace` is seconds between two blows on average."""
    draw = random.Random(seed)  # noqa: S311 - a replayable plan
    while True:
        victim = draw.choice(names)
        arms = {role: _arms(draw, role) for role in ROLES}
        yield Blow(draw.uniform(0, 2 * pace), victim, arms if draw.random() < 0.5 else {})


def _arms(draw: random.Random, role: str) -> str:
    point = draw.choice(points_of(role))
    times = 1 if point.startswith(RARE) else draw.randint(1, MOST_TIMES)
    return f"{point}:{times}:KILL"


def points_of(role: str) -> list[str]:
    """The scheduler's are the relay's."""
    prefixes = {"relay": ("relay.", "scheduler.")}.get(role, (f"{role}.",))
    return [point for point in POINTS if point.startswith(prefixes)]


class Chaos:
    """Carries out a plan on a fleet under load."""

    def __init__(self, fleet: Fleet, load: Load, provider: Provider) -> None:
        self._fleet, self._load, self._arrivals = fleet, load, provider.arrivals
        self._pause = Event()
        self._expected: dict[str, int | None] = {}  # the last process of each, once its end is noted
        self.kills = Kills()

    def carry_out(self, blows: Iterator[Blow], kills: int) -> Kills:
        """Blow after blow until so many were killed. Raises AssertionError when nothing is accepted any more."""
        began, looked = monotonic(), 0
        while self.kills.total < kills:
            blow = next(blows)
            self._wait(blow.pause)
            self._strike(blow)
            if self.kills.total // BETWEEN > looked:
                looked = self.kills.total // BETWEEN
                self._await_progress()
        self.kills.seconds = monotonic() - began
        for member in self._fleet.members.values():
            member.armed = None
        return self.kills

    def _wait(self, seconds: float) -> None:
        enough = monotonic() + seconds
        while monotonic() < enough:
            self.look()
            self._pause.wait(LOOK)

    def look(self) -> None:
        """Note who killed itself, disarm it, and start again who has ended."""
        for name, member in self._fleet.members.items():
            if member.exit_code is not None and self._expected.get(name) != member.pid:
                self._expected[name] = member.pid
                self._note_end(name, member)
        self._fleet.revive(STARTING_AT_ONCE)

    def _note_end(self, name: str, member: Member) -> None:
        if member.exit_code == -signal.SIGKILL:
            assert member.armed, f"somebody else killed {name}"
            self.kills.note(name, member.armed.partition(":")[0])
        else:
            self.kills.ended_by_themselves += 1
        member.armed = None

    def _strike(self, blow: Blow) -> None:
        """The victim of the plan, or, while it is starting, the next one that works; else it would never work."""
        names = list(self._fleet.members)
        first = names.index(blow.victim)
        in_turn = [*names[first:], *names[:first]]
        victim = eventually(lambda: self._first_ready(in_turn), PROGRESS, what="one of all processes works")
        member = self._fleet.members[victim]
        member.kill()
        if member.exit_code != -signal.SIGKILL:
            return  # it ended by itself before the blow came
        self._expected[victim] = member.pid
        self.kills.note(victim, FROM_OUTSIDE)
        member.armed = blow.arms.get(member.role)

    def _first_ready(self, names: list[str]) -> str:
        self.look()
        return next((name for name in names if self._fleet.members[name].is_ready), "")

    def _await_progress(self) -> None:
        """Wait until one more is accepted, and one more arrives."""
        now, entries, arrivals = monotonic(), self._load.ledger.entries, self._arrivals
        before = len(arrivals)

        def goes_on() -> bool:
            self.look()
            return len(arrivals) > before and any(
                one.outcome == "accepted" and one.answered > now for one in entries[-RECENT:]
            )

        eventually(goes_on, PROGRESS, what="one more is accepted, and one more arrives")
