"""The course of a fault: load before, during and after it, until all is normal again, and the oracle's word.

A delay is from just before the POST to the first arrival at the provider. Normal again means: of what was
sent within some seconds after the end of the fault, 99 % arrive about as fast as before. How long
that takes is written down, not asserted: it depends on the machine.
"""

import json
import math
import os
from bisect import bisect_left
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic

from tests.proof.faults.world import World
from tests.servers.eventually import eventually

RATE = 60.0  # requests per second
WARM, BEFORE = 60, 120  # notifications until all is warm, and those that show what is usual
WINDOW = 2.0  # seconds of load that are looked at
STEP = 0.25  # seconds from one window to the next
NORMAL = 3.0  # times the p99 of before, and at least
AT_LEAST = 0.5  # seconds: below it a delay is no sign of trouble on a machine that is shared
BACK = 120.0  # seconds until it is given up
COURSES = "FAULT_COURSES"  # names a file in the environment, to which each course is appended

Fault = Callable[[World], AbstractContextManager[object]]


@dataclass
class Course:
    """Delays in seconds; `back_after` is from the end of the fault until all is normal."""

    fault: str
    test: str
    lasted: float
    accepted: int
    unknown: int
    usual: float
    worst: float
    back_after: float
    repeated: int


def endure(world: World, name: str, fault: Fault, *, lasts: float = 2.0) -> Course:
    """Load, the fault for so many seconds, load until all is normal, and the judgement; all ended are revived."""
    first = world.begin()
    with world.load(RATE, seed=first) as load:
        usual = _p99(eventually(lambda: _before(world, load.began), BACK, what="it works before the fault"))
        began = monotonic()
        with fault(world):
            until = monotonic() + lasts
            eventually(lambda: world.scene.fleet.revive() and monotonic() > until, lasts + BACK)
        ended = monotonic()
        bound = max(NORMAL * usual, AT_LEAST)
        back = eventually(lambda: _back_at(world, ended, bound), BACK, what=f"{name}: back to normal")
        now = monotonic()
    repeated = judge(world)["arrivals beyond the one called sent"]
    entries = world.ledger.entries[first:]
    course = Course(
        fault=name,
        test=os.environ.get("PYTEST_CURRENT_TEST", "").split(" ")[0],
        lasted=ended - began,
        accepted=sum(entry.outcome == "accepted" for entry in entries),
        unknown=sum(entry.outcome == "unknown" for entry in entries),
        usual=usual,
        worst=max(_delays(world, began, now)),
        back_after=back - ended,
        repeated=repeated - world.repeated,
    )
    world.repeated = repeated
    note(course)
    return course


def judge(world: World) -> dict[str, int]:
    """Wait until all is over; raises AssertionError for what the oracle finds and no fault of this world explains."""
    verdict = world.scene.judge(world.ledger)
    left = [text for text in verdict.violations if not any(f" {kind}" in text for kind in world.allowed)]
    assert not left, "\n".join(left)
    return verdict.figures


def note(course: Course) -> None:
    """Show it, and append it to the file that a report is made from."""
    print(describe(course))  # noqa: T201 - it is what the test measured
    if path := os.environ.get(COURSES):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(course)) + "\n")


def describe(course: Course) -> str:
    return (
        f"{course.fault}: {course.lasted:.1f} s, accepted {course.accepted}, unknown {course.unknown}, repeated calls"
        f" {course.repeated}; p99 before {course.usual:.3f} s, worst {course.worst:.1f} s,"
        f" normal {course.back_after:.1f} s after its end"
    )


def _back_at(world: World, ended: float, bound: float) -> float:
    """The first moment from which on all is normal for as long as a window.

    A window counts when about as much as usual was accepted in it, and its time to arrive is over.
    Raises AssertionError that shows the p99 of the last one, while there is none.
    """
    world.scene.fleet.revive()
    known = sorted(_arrived(world, ended))
    now = monotonic() - bound
    start, found = ended, [0.0]
    while start + WINDOW < now:
        window = known[bisect_left(known, (start,)) : bisect_left(known, (start + WINDOW,))]
        found = [delay for _, delay in window] or [math.inf]
        if len(found) > RATE * WINDOW / 3 and _p99(found) <= bound:
            return start
        start += STEP
    message = f"p99 of {len(found)} is {_p99(found):.3f} s, and {bound:.3f} s would be normal"
    raise AssertionError(message)


def _before(world: World, began: float) -> list[float]:
    """The delays of what has arrived when all was warm, once it is enough."""
    found = [delay for _, delay in _arrived(world, began)[WARM:] if delay < math.inf]
    assert len(found) >= BEFORE, f"{len(found)} have arrived"
    return found


def _delays(world: World, start: float, end: float) -> list[float]:
    return [delay for sent, delay in _arrived(world, start) if sent < end]


def _arrived(world: World, start: float) -> list[tuple[float, float]]:
    """When each accepted notification was sent since then, and its delay; what never arrived is infinitely late."""
    first: dict[int, float] = {}
    for arrival in reversed(world.scene.provider.arrivals[world.arrived :]):
        first[arrival.number] = arrival.at
    return [
        (entry.sent, first.get(entry.number, math.inf) - entry.sent)
        for entry in world.ledger.entries[world.sent :]
        if entry.sent >= start and entry.topic == "notifications" and entry.outcome == "accepted"
    ]


def _p99(found: list[float]) -> float:
    return sorted(found)[math.ceil(0.99 * len(found)) - 1]
