"""The arithmetic and the wording of the results."""

from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

THOUSAND = 1000
FEW = 10  # below it, two decimals say something


@dataclass(frozen=True)
class Spread:
    """The smallest, the middle and the largest of several figures."""

    smallest: float
    middle: float
    largest: float

    def __str__(self) -> str:
        return f"{_short(self.middle)} [{_short(self.smallest)} … {_short(self.largest)}]"


@dataclass
class Contest:
    """Rates of Herald and of its rival, one pair per round; more is better."""

    name: str
    unit: str
    target: float  # the least acceptable ratio
    rival: str
    herald_rates: list[float] = field(default_factory=list)
    rival_rates: list[float] = field(default_factory=list)

    def add(self, herald: float, rival: float) -> None:
        self.herald_rates.append(herald)
        self.rival_rates.append(rival)

    @property
    def ratio(self) -> Spread:
        """Round by round, so that what slows a whole round slows both."""
        return spread([ours / theirs for ours, theirs in zip(self.herald_rates, self.rival_rates, strict=True)])

    @property
    def is_met(self) -> bool:
        return self.ratio.middle >= self.target

    def __str__(self) -> str:
        return (
            f"{self.name}\n"
            f"  herald  {spread(self.herald_rates)} {self.unit}\n"
            f"  {self.rival}  {spread(self.rival_rates)} {self.unit}\n"
            f"  ratio   {self.ratio}   target {self.target:g}: {_verdict(self.is_met)}"
        )

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "ratio": asdict(self.ratio), "met": self.is_met}


@dataclass
class Slowdown:
    """Delays without and with a disturbance, one pair per round; less is better."""

    name: str
    unit: str
    target: float | None  # the most acceptable ratio
    quiet: list[float] = field(default_factory=list)
    disturbed: list[float] = field(default_factory=list)

    def add(self, quiet: float, disturbed: float) -> None:
        self.quiet.append(quiet)
        self.disturbed.append(disturbed)

    @property
    def ratio(self) -> Spread:
        """Round by round, so that what slows a whole round slows both."""
        return spread([after / before for before, after in zip(self.quiet, self.disturbed, strict=True)])

    @property
    def is_met(self) -> bool:
        return self.target is None or self.ratio.middle <= self.target

    def __str__(self) -> str:
        text = (
            f"{self.name}\n"
            f"  without  {spread(self.quiet)} {self.unit}\n"
            f"  with     {spread(self.disturbed)} {self.unit}\n"
            f"  ratio    {self.ratio}"
        )
        return text if self.target is None else f"{text}   target at most {self.target:g}: {_verdict(self.is_met)}"

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "ratio": asdict(self.ratio), "met": self.is_met}


@dataclass
class Bound:
    """How often something happened, once per round, and the most that is acceptable."""

    name: str
    target: int
    counts: list[int] = field(default_factory=list)

    def add(self, count: int) -> None:
        self.counts.append(count)

    @property
    def is_met(self) -> bool:
        return max(self.counts) <= self.target

    def __str__(self) -> str:
        shown = ", ".join(str(count) for count in self.counts)
        return f"{self.name}\n  {shown}   target at most {self.target}: {_verdict(self.is_met)}"

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "met": self.is_met}


@dataclass
class Pace:
    """How much of something was done per second, once per round, and the least that is acceptable."""

    name: str
    unit: str
    target: float
    rates: list[float] = field(default_factory=list)

    def add(self, rate: float) -> None:
        self.rates.append(rate)

    @property
    def is_met(self) -> bool:
        return spread(self.rates).middle >= self.target

    def __str__(self) -> str:
        shown = f"{self.name}\n  {spread(self.rates)} {self.unit}"
        return f"{shown}   target at least {_short(self.target)}: {_verdict(self.is_met)}"

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "met": self.is_met}


@dataclass
class Delay:
    """Durations in milliseconds, with the most that is acceptable of some percentiles."""

    name: str
    milliseconds: list[float]
    targets: dict[int, float]  # percentile: milliseconds

    @property
    def is_met(self) -> bool:
        return all(percentile(self.milliseconds, share) < most for share, most in self.targets.items())

    def __str__(self) -> str:
        shown = ", ".join(f"p{share} {percentile(self.milliseconds, share):.1f}" for share in (50, 99))
        wanted = " and ".join(f"p{share} below {most:g}" for share, most in self.targets.items())
        text = f"{self.name}\n  {shown}, most {max(self.milliseconds):.1f} ms of {len(self.milliseconds)}"
        return f"{text}   target {wanted}: {_verdict(self.is_met)}" if wanted else text

    def as_json(self) -> dict[str, Any]:
        found = {f"p{share}": percentile(self.milliseconds, share) for share in (50, 90, 99, 100)}
        return {"name": self.name, "count": len(self.milliseconds), **found, "met": self.is_met}


Result = Contest | Slowdown | Bound | Pace | Delay


def spread(figures: list[float]) -> Spread:
    return Spread(min(figures), median(figures), max(figures))


def percentile(figures: list[float], share: int) -> float:
    """The smallest figure that `share` percent of all do not exceed (nearest rank)."""
    ranked = sorted(figures)
    return ranked[max(0, -(-len(ranked) * share // 100) - 1)]


def _short(figure: float) -> str:
    if figure >= THOUSAND:
        return f"{figure / THOUSAND:.1f} k"
    return f"{figure:.2f}" if figure < FEW else f"{figure:.0f}"


def _verdict(is_met: bool) -> str:  # noqa: FBT001  one word for one fact
    return "met" if is_met else "MISSED"
