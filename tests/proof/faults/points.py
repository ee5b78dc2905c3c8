"""Every crash point in its turn, under load: killed there, or frozen there and thawed once a successor works.

All processes of a role are armed at once, each with the next point: of two relays one leads, and when
it is killed at its point the other one leads to its own.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGKILL
from threading import Event
from time import monotonic

from herald.outbox.crash_points import POINTS
from tests.proof.faults.chaos import LOOK, RARE, points_of
from tests.proof.faults.fleet import ROLES, Fleet, Member
from tests.proof.faults.ledger import Load
from tests.proof.faults.oracle import Verdict
from tests.proof.faults.provider import Provider
from tests.proof.faults.report import machine, paragraphs, table
from tests.proof.faults.scene import Scene
from tests.servers.eventually import eventually

TIMES = 3  # that a point is passed: there is something to lose by then
PATIENCE = 5.0  # seconds of work in which a point is reached, unless another process of the role does all the work
LONGEST = 120.0  # seconds from one point to the next, on a busy machine
SUCCESS = 30  # messages that arrive while one is frozen, and again once it is thawed
ORDER = ("out of order ", "pairs judged ")  # figures of the oracle
FREEZING = tuple(point for point in POINTS if not point.startswith("api."))  # nobody takes over from a frozen API


def arms(point: str, signal: str) -> str:
    return f"{point}:{1 if point.startswith(RARE) else TIMES}:{signal}"


def is_frozen(member: Member) -> bool:
    """As the kernel has it."""
    stat = Path(f"/proc/{member.pid}/stat")
    return member.running and stat.read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "T"


@dataclass
class Visit:
    """What is left to do for one role, and who is on the way to which point since when."""

    left: deque[str]
    armed_at: dict[str, float] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)


class Visits:
    """Carries one signal to many points."""

    def __init__(self, fleet: Fleet, points: Iterable[str] = POINTS) -> None:
        wanted = set(points)
        self._fleet = fleet
        self._pause = Event()
        self.visits = {role: Visit(deque(one for one in points_of(role) if one in wanted)) for role in ROLES}

    def kill_at_each(self) -> list[str]:
        """Returns the points at which a process was killed: all of them, or AssertionError says which not."""
        last, count = monotonic(), 0
        while not self._is_done():
            for role, visit in self.visits.items():
                self._look(role, visit)
            self._fleet.revive()
            if (now_done := len(self.done)) > count:
                last, count = monotonic(), now_done
            assert monotonic() - last < LONGEST, f"not reached: {self._under_way()}; done: {self.done}"
            self._pause.wait(LOOK)
        return self.done

    @property
    def done(self) -> list[str]:
        return [point for visit in self.visits.values() for point in visit.done]

    def _is_done(self) -> bool:
        return not any(visit.left or visit.armed_at for visit in self.visits.values())

    def _under_way(self) -> list[str]:
        return [member.armed for member in self._fleet.members.values() if member.armed]

    def _look(self, role: str, visit: Visit) -> None:
        for name, member in self._fleet.of(role).items():
            if name in visit.armed_at and not member.running:
                self._finish(visit, name, member)
            elif name in visit.armed_at and not member.is_ready:
                visit.armed_at[name] = monotonic()  # it only starts: nothing can be reached yet
            if visit.left and name not in visit.armed_at:
                self._arm(visit, name, member)
        if visit.armed_at and monotonic() - min(visit.armed_at.values()) > PATIENCE:
            self._clear_the_way(role, visit)

    def _finish(self, visit: Visit, name: str, member: Member) -> None:
        """It ended: at its point, or it has to try again because it ended for another reason."""
        assert member.armed
        point = member.armed.partition(":")[0]
        visit.armed_at.pop(name)
        member.armed = None
        if member.exit_code == -SIGKILL:
            visit.done.append(point)
        else:
            visit.left.append(point)

    def _arm(self, visit: Visit, name: str, member: Member) -> None:
        member.kill()
        member.armed = arms(visit.left.popleft(), "KILL")
        visit.armed_at[name] = monotonic()
        member.start()

    def _clear_the_way(self, role: str, visit: Visit) -> None:
        """One that stands by reaches no point: those of its role that are not armed make room."""
        for name, member in self._fleet.of(role).items():
            if name not in visit.armed_at and member.is_ready:
                member.kill()
        visit.armed_at = dict.fromkeys(visit.armed_at, monotonic())


class Freezer:
    """Freezes the only process of a role at a point, starts another one, and thaws the first once that works."""

    def __init__(self, fleet: Fleet, load: Load, provider: Provider) -> None:
        self._fleet, self._load, self._provider = fleet, load, provider

    def freeze_at(self, point: str) -> float:
        """Returns for how many seconds nothing arrived that was sent after the freeze."""
        role = "pipeline" if point.startswith("pipeline.") else "relay"
        zombie, *others = self._fleet.of(role).values()
        for member in (zombie, *others):
            member.kill()
        zombie.armed = arms(point, "STOP")
        zombie.start()
        eventually(
            lambda: self._fleet.revive(but=others) and is_frozen(zombie), LONGEST, what=f"{role} is frozen at {point}"
        )
        frozen = monotonic()
        zombie.armed = None
        first = self._await_arrivals(frozen)
        zombie.resume()
        self._await_arrivals(monotonic())
        return first - frozen

    def _await_arrivals(self, moment: float) -> float:
        """Enough of what was sent from then on; returns when the first of it came."""
        known = len(self._provider.arrivals)  # of a long run: to look at all of them would take the load's time

        def arrived() -> list[float]:
            self._fleet.revive()
            entries = self._load.ledger.entries
            found = [one.at for one in self._provider.arrivals[known:] if entries[one.number].sent > moment]
            assert len(found) >= SUCCESS, f"{len(found)} have arrived"
            return found

        return min(eventually(arrived, LONGEST, what="others go on"))


def visit_all(scene: Scene, *, rate: float, deadline: float) -> tuple[list[str], dict[str, float], Verdict]:
    """Returns the points at which a process was killed, those at which one was frozen with the seconds that nothing
    arrived, and what the oracle finds.
    """
    with scene.load(rate) as load:
        killed = Visits(scene.fleet).kill_at_each()
        frozen = _freeze_at_each(scene, load, [point for point in FREEZING if not point.startswith("pipeline.")])
    earlier = scene.judge(load.ledger, deadline)
    with scene.load(rate, ledger=load.ledger) as load:
        frozen |= _freeze_at_each(scene, load, [point for point in FREEZING if point.startswith("pipeline.")])
    return killed, frozen, with_order_of(earlier, scene.judge(load.ledger, deadline))


def _freeze_at_each(scene: Scene, load: Load, points: Iterable[str]) -> dict[str, float]:
    freezer = Freezer(scene.fleet, load, scene.provider)
    return {point: freezer.freeze_at(point) for point in points}


def with_order_of(earlier: Verdict, verdict: Verdict) -> Verdict:
    """Order as it was judged before a pipeline was frozen, all else as it is now.

    What a frozen one had claimed, and not called, may be called after the next one of its key.
    """
    order = {name: count for name, count in earlier.figures.items() if name.startswith(ORDER)}
    wrong = [text for text in earlier.violations if " out of order " in text]
    return Verdict(
        verdict.figures | order, [*wrong, *(text for text in verdict.violations if " out of order " not in text)]
    )


def describe(killed: list[str], frozen: dict[str, float], verdict: Verdict) -> str:
    """For the page."""
    order = ", ".join(
        f"{verdict.figures[f'out of order {where}']} {where}" for where in ("on Kafka", "in the log", "at the provider")
    )
    what = (
        f"{machine()}. A process killed at each of {len(killed)} points, and frozen at {len(frozen)} of them until"
        f" another one had taken over, then thawed, under load. {verdict.figures['accepted']:,} requests accepted,"
        f" {verdict.figures['lost']} lost; out of order before a pipeline was frozen: {order}."
    )
    stalls = {f"`{point}`": f"{frozen[point]:.1f}" if point in frozen else "" for point in killed}
    return paragraphs([what, verdict.in_words(), table(("killed at", "frozen there: seconds without news"), stalls)])
