"""The highest rate that is held with the lag flat: Herald with its defaults and tuned, beside the bare chain."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from statistics import median

from benchmarks.figures import Contest, Result, Target
from benchmarks.flow import Course, Flow, bare_chain, herald
from benchmarks.run import Run

TUNED = {"HERALD_WINDOW_SIZE": "250"}  # docs/benchmarks.md names it
LADDER = [round(300 * 1.18**step) for step in range(18)]  # notifications per second
SETTLING = 2  # seconds of a course that do not count
FLAT, SLACK = 1.5, 20.0  # the last third's lag: times the first third's, and milliseconds
TAKEN = 0.98  # of what was to be posted
MOST_LAG = 5_000.0  # milliseconds
Held = tuple[float, float]  # notifications per second, and the idle CPU meanwhile
NOTHING: Held = (0.0, 100.0)


def measure(run: Run) -> list[Result]:
    """Seconds of each try: ten, or with --all the whole minute."""
    stage, seconds = run.stage, run.pick(4, 10, 60)
    name = f"highest rate held for {seconds:g} s with lag flat, notifications/s"
    plain = Contest(f"{name}, defaults", "bare chain", Target(least=0.5))
    tuned = Contest(f"{name}, windows of 250", "bare chain", Target(least=0.7))
    for _ in range(run.rounds if run.is_long else 1):
        defaults, (chain, left) = _highest(lambda: herald(stage, run.whole), seconds), _of_chain(run, seconds)
        plain.add(defaults[0], chain, (defaults[1], left))
        better = _highest(lambda: herald(stage, run.whole, **TUNED), seconds)
        tuned.add(better[0], chain, (better[1], left))
    return [plain, tuned]


def _of_chain(run: Run, seconds: float) -> Held:
    return _highest(lambda: bare_chain(run.stage), seconds)


def _highest(start: Callable[[], AbstractContextManager[Flow]], seconds: float) -> Held:
    """By halving the ladder; a rate that was not held is waited for until all of it is sent."""
    low, high, best = 0, len(LADDER), NOTHING
    with start() as flow:
        while low < high:
            middle = (low + high) // 2
            course = flow.post(seconds=seconds, rate=LADDER[middle])
            if is_flat(course, wanted=LADDER[middle] * seconds):
                low, best = middle + 1, (LADDER[middle], course.idle)
            else:
                high = middle
    return best


def is_flat(course: Course, *, wanted: float) -> bool:
    """Whether the lag of the last third is that of the first, what was wanted was taken, and nothing was left."""
    if course.unsent or len(course.posted) < TAKEN * wanted:
        return False
    lags = course.lags()[SETTLING:]
    third = max(1, len(lags) // 3)
    first, last = median(lags[:third]), median(lags[-third:])
    return last <= FLAT * first + SLACK and max(lags) <= MOST_LAG
