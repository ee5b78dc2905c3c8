"""The growth table: what a look, a move and a delivery cost on logs of growing size, and what their plans are."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product
from math import log10
from time import perf_counter
from typing import Any

from benchmarks.figures import Result, Target, percentile, shown
from benchmarks.flow import Course, herald
from benchmarks.growth.looks import Connections, Look, connected, looks, read_backlog, status
from benchmarks.growth.moves import Moves
from benchmarks.growth.plans import explaining, summed
from benchmarks.run import Run
from tests.outbox.connections import make_settings

SMALLEST = 1_000  # messages
LARGE = 100_000  # from there on, plans are looked at
MOST = Target(most=1.1)  # times as much per tenfold of the log
WRONG = Target(most=0)
RATE = 100  # notifications per second
TIMES = 40  # each look
WARM = 3  # looks that do not count
UNDISTURBED = 25  # the percentile of the looks that counts: more says who else used the machine


@dataclass(frozen=True)
class Growth:
    """What something costs on logs of these sizes; smallest first, in milliseconds."""

    name: str
    costs: Mapping[int, float]

    @property
    def factor(self) -> float:
        """Per tenfold of the log."""
        (small, first), *_, (large, last) = self.costs.items()
        return float((last / first) ** (1 / log10(large / small)))

    @property
    def is_met(self) -> bool:
        return MOST.is_met(self.factor)

    def row(self) -> list[str]:
        figures = " → ".join(shown(cost) for cost in self.costs.values())
        return [self.name, figures, "", f"{self.factor:.2f} per tenfold", "", MOST.says(self.factor)]

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, "milliseconds": dict(self.costs), "factor": self.factor, "met": self.is_met}


@dataclass(frozen=True)
class Plans:
    """The statements that were explained on the largest log, and those whose plans grow with it."""

    name: str
    explained: int
    wrong: dict[str, dict[str, int]]  # rows, by what is done with them

    @property
    def is_met(self) -> bool:
        return not self.wrong

    def row(self) -> list[str]:
        wrong = [f"{name}: {what}, {rows:,} rows" for name, why in self.wrong.items() for what, rows in why.items()]
        beside = "; ".join([f"of {self.explained}", *wrong])
        return [self.name, str(len(self.wrong)), beside, "", "", WRONG.says(len(self.wrong))]

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, "explained": self.explained, "wrong": self.wrong, "met": self.is_met}


def measure(run: Run) -> list[Result]:
    """Each look in turns on all logs, so that what slows the machine for a while slows all of them."""
    stage, sizes = run.stage, _sizes(run)
    databases = {size: run.whole if size == run.rows else run.log(size) for size in sizes}
    with ExitStack() as stack:
        opened = {
            size: stack.enter_context(connected(make_settings(stage.server.url(database))))
            for size, database in databases.items()
        }
        costs = [*_compared({size: looks(connections) for size, connections in opened.items()})]
        plans = [_plans(opened[size], size) for size in sizes if size >= min(LARGE, run.rows)]
        costs += [
            *_compared({size: Moves(connections.worker).steps for size, connections in opened.items()}),
            *_compared({size: {"status": status(connections)} for size, connections in opened.items()}),
        ]
    delivered = {size: _delivered(run, database) for size, database in databases.items()}
    for database in databases.values():
        if database != run.whole:
            stage.drop(database)
    return [*_delays(delivered), *costs, *plans]


def _sizes(run: Run) -> list[int]:
    """Each ten times the one before, up to the run's own."""
    found = [run.rows]
    while found[0] // 10 >= SMALLEST:
        found.insert(0, found[0] // 10)
    return found


def _compared(asked: Mapping[int, Mapping[str, Look]]) -> Iterator[Growth]:
    """By name; each size has the same looks."""
    smallest = next(iter(asked.values()))
    taken: dict[str, dict[int, list[float]]] = {name: {size: [] for size in asked} for name in smallest}
    for number in range(WARM + TIMES):
        for name, size in product(smallest, asked):
            milliseconds = _time(asked[size][name])
            if number >= WARM:
                taken[name][size].append(milliseconds)
    for name, found in taken.items():
        yield Growth(f"{name}, ms", {size: percentile(times, UNDISTURBED) for size, times in found.items()})


def _delivered(run: Run, database: str) -> Course:
    """With all processes, a few seconds of a gentle load."""
    with herald(run.stage, database) as flow:
        course = flow.post(seconds=run.pick(3, 10, 60), rate=RATE)
    assert not course.unsent
    return course


def _delays(delivered: Mapping[int, Course]) -> Iterator[Growth]:
    for share in (50, 99):
        costs = {size: percentile(course.milliseconds, share) for size, course in delivered.items()}
        yield Growth(f"POST → sent at {RATE}/s, p{share}, ms", costs)


def _time(look: Look) -> float:
    began = perf_counter()
    look()
    return 1000 * (perf_counter() - began)


def _plans(connections: Connections, rows: int) -> Plans:
    """Explained once, each as it is run."""
    moves = Moves(connections.worker)
    asked = {**looks(connections), "relay: a backlog": lambda: read_backlog(connections), **moves.steps}
    asked["cancel and requeue"] = moves.others
    wrong: dict[str, dict[str, int]] = {}
    for name, look in asked.items():
        with explaining(connections.all) as explained:
            look()
        if found := summed(explained):
            wrong[name] = found
    return Plans(f"looks and moves that scan, gather or sort more than a page of {rows:,} messages", len(asked), wrong)
