"""The arithmetic and the wording of the results: each is a line of a table, with median and range of its rounds."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from math import inf
from statistics import median
from typing import Any, NamedTuple, Protocol

LARGE, FEW = 100, 10  # from there on without decimals; below it, two of them say something
BUSY = 10  # percent of the machine that must be left, or the line says so
HEAD = ("", "Herald", "beside", "ratio", "idle", "target")


class Spread(NamedTuple):
    """The smallest, the middle and the largest of several figures."""

    smallest: float
    middle: float
    largest: float

    def __str__(self) -> str:
        if self.smallest == self.largest:
            return shown(self.middle)
        return f"{shown(self.middle)} [{shown(self.smallest)} … {shown(self.largest)}]"


class Target(NamedTuple):
    """What a figure, or a ratio, has to reach; what has none is met."""

    least: float = -inf
    most: float = inf

    def is_met(self, figure: float) -> bool:
        return self.least <= figure <= self.most

    def says(self, figure: float) -> str:
        wanted = [f"at least {self.least:g}"] if self.least > -inf else []
        wanted += [f"at most {self.most:g}"] if self.most < inf else []
        return f"{', '.join(wanted)}: {'met' if self.is_met(figure) else 'MISSED'}" if wanted else ""


ANY = Target()


@dataclass
class Figure:
    """What was found of Herald alone, once per round; `idle` is how many percent of the machine were left."""

    name: str
    target: Target = ANY
    figures: list[float] = field(default_factory=list)
    idle: list[float] = field(default_factory=list)

    def add(self, figure: float, idle: float | None = None) -> None:
        self.figures.append(figure)
        self.idle += [] if idle is None else [idle]

    @property
    def is_met(self) -> bool:
        return self.target.is_met(median(self.figures))

    def row(self) -> list[str]:
        says = self.target.says(median(self.figures))
        return [self.name, str(spread(self.figures)), "", "", _left(self.idle), says]

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "met": self.is_met}


@dataclass
class Contest:
    """Herald beside a rival, or beside itself undisturbed, in turns: the ratio is taken round by round."""

    name: str
    rival: str
    target: Target = ANY
    figures: list[float] = field(default_factory=list)
    rival_figures: list[float] = field(default_factory=list)
    idle: list[float] = field(default_factory=list)
    rival_idle: list[float] = field(default_factory=list)

    def add(self, figure: float, rival: float, idle: tuple[float, float] | None = None) -> None:
        self.figures.append(figure)
        self.rival_figures.append(rival)
        if idle:
            self.idle.append(idle[0])
            self.rival_idle.append(idle[1])

    @property
    def ratio(self) -> Spread:
        """Round by round, so that what slows a whole round slows both."""
        pairs = zip(self.figures, self.rival_figures, strict=True)
        return spread([ours / theirs if theirs else inf for ours, theirs in pairs])

    @property
    def is_met(self) -> bool:
        return self.target.is_met(self.ratio.middle)

    def row(self) -> list[str]:
        beside = f"{self.rival} {spread(self.rival_figures)}"
        left = _left(self.idle, self.rival_idle)
        says = self.target.says(self.ratio.middle)
        return [self.name, str(spread(self.figures)), beside, str(self.ratio), left, says]

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "ratio": self.ratio._asdict(), "met": self.is_met}


@dataclass
class Missing:
    """A rival that could not run here, and why."""

    name: str
    why: str
    is_met: bool = True

    def row(self) -> list[str]:
        return [self.name, "", f"not run: {self.why}", "", "", ""]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class Result(Protocol):
    """A line of a table."""

    @property
    def name(self) -> str: ...

    @property
    def is_met(self) -> bool: ...

    def row(self) -> list[str]:
        """What stands below HEAD."""

    def as_json(self) -> dict[str, Any]: ...


def table(rows: Sequence[Sequence[str]], head: Sequence[str] = HEAD) -> str:
    """In Markdown."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def spread(figures: Sequence[float]) -> Spread:
    return Spread(min(figures), median(figures), max(figures))


def percentile(figures: Sequence[float], share: int) -> float:
    """The smallest figure that `share` percent of all do not exceed (nearest rank)."""
    ranked = sorted(figures)
    return ranked[max(0, -(-len(ranked) * share // 100) - 1)]


def shown(figure: float) -> str:
    if figure >= LARGE or figure == int(figure):
        return f"{figure:,.0f}"
    return f"{figure:.2f}" if figure < FEW else f"{figure:.1f}"


def _left(*idle: list[float]) -> str:
    """Of the machine, in the middle round of each."""
    left = [median(found) for found in idle if found]
    text = " and ".join(f"{one:.0f} %" for one in left)
    return f"{text}, less than {BUSY} %" if left and min(left) < BUSY else text
