"""What a run does: how large the log is, how many rounds, and how long each."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from benchmarks import logs
from benchmarks.stage import Stage

MILLION = 1_000_000
FEW = 10_000  # messages of the log where it is only to be seen whether everything runs


@dataclass
class Run:
    """`cache`: the folder of what is kept between runs. `rows`: messages of the log.

    `flood`: messages of a flood, where it is said; `kinds`: which floods, all without.

    `is_quick`: does it run, not how fast. `is_long`: what takes hours, too.
    """

    stage: Stage
    cache: Path
    rows: int = MILLION
    rounds: int = 3
    is_quick: bool = False
    is_long: bool = False
    flood: int | None = None
    kinds: tuple[str, ...] = ()
    used: list[str] = field(default_factory=list)  # logs that are kept

    @cached_property
    def whole(self) -> str:
        """The one copy of it that all parts go on writing: a copy takes as long as it is large."""
        return self.log(self.rows)

    def log(self, count: int) -> str:
        """A copy of a log of so many messages."""
        kept = logs.loaded(self.stage, count)
        self.used.append(kept)
        return self.stage.database(template=kept)

    @contextmanager
    def copy(self) -> Iterator[str]:
        """For a part that spoils it; of a million messages at most, so that two of ten million are enough."""
        database = self.log(min(self.rows, MILLION))
        yield database
        self.stage.drop(database)

    def pick(self, quick: float, usual: float, long: float | None = None) -> float:
        """Of three figures that of this run."""
        if self.is_quick:
            return quick
        return long if self.is_long and long is not None else usual
