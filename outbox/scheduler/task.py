"""A task: what the relay that leads does every so many seconds."""

from collections.abc import Callable
from dataclasses import dataclass

from herald.outbox.postgres.driver import Connection

SHORTEST = 0.2  # seconds: the scheduler looks as often
LONGEST = 86_400.0  # seconds; it begins anew with each relay that leads


@dataclass(frozen=True, kw_only=True)
class Task:
    """Runs `every` so many seconds, the first time after as many; one that takes long holds up other tasks only.

    `run` gets a connection to Herald's database, in autocommit, and returns how many events it left for the relay to
    publish, or nothing. What it raises is logged, and it runs again at its next turn. Raises ValueError for an interval
    that is none.
    """

    every: float
    run: Callable[[Connection], int | None]

    def __post_init__(self) -> None:
        """Checked where it is written."""
        if not SHORTEST <= self.every <= LONGEST:
            message = f"every: {self.every:g} seconds, it takes {SHORTEST:g} to {LONGEST:g}"
            raise ValueError(message)
