"""The table: a line for each figure, a column for each side, and how they compare."""

from dataclasses import dataclass, field
from math import inf
from statistics import median
from typing import Any

from benchmarks.costs.bench import Reading
from benchmarks.figures import BUSY, LARGE
from benchmarks.figures import table as in_markdown


@dataclass
class Line:
    """What was found of each side, round by round."""

    name: str
    figures: dict[str, list[float]] = field(default_factory=dict)
    idle: dict[str, list[float]] = field(default_factory=dict)

    def ratio(self, first: str, other: str) -> float:
        """Round by round, so that what slows a whole round slows both."""
        pairs = zip(self.figures[first], self.figures[other], strict=True)
        return median(ours / theirs if theirs else inf if ours else 1.0 for ours, theirs in pairs)

    @property
    def least_idle(self) -> float:
        """Of the sides, each in its median round."""
        return min(median(found) for found in self.idle.values())

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, "figures": self.figures, "idle": self.idle}


@dataclass
class Table:
    """`sides` by name, this checkout first."""

    sides: list[str]
    lines: dict[str, Line] = field(default_factory=dict)

    def add(self, side: str, reading: Reading) -> None:
        for name, figure in reading.figures.items():
            line = self.lines.setdefault(name, Line(name))
            line.figures.setdefault(side, []).append(figure)
            line.idle.setdefault(side, []).append(reading.idle)

    def __str__(self) -> str:
        this, *others = self.sides
        head = ["", this, *(column for other in others for column in (other, "ratio")), "idle"]
        return in_markdown([self._cells(line) for line in self.lines.values()], head)

    def _cells(self, line: Line) -> list[str]:
        this, *others = self.sides
        compared = [
            cell for other in others for cell in (_shown(median(line.figures[other])), f"{line.ratio(this, other):.2f}")
        ]
        idle = f"{line.least_idle:.0f} %" + (f", less than {BUSY} %" if line.least_idle < BUSY else "")
        return [line.name, _shown(median(line.figures[this])), *compared, idle]


def _shown(figure: float) -> str:
    return f"{figure:,.0f}" if figure >= LARGE else f"{figure:.2f}"
