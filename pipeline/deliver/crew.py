"""What threads and the loop have in common: a queue for each destination, and how many calls at once."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from herald.outbox.moves.record import Outcome
from herald.pipeline.deliver.attempt import Attempt
from herald.pipeline.deliver.destinations import Destinations

SLOW = 0.0005  # seconds a delivery takes on average from which on another thread is worth waking
WEIGHT = 0.01  # of the newest delivery in the average

Perform = Callable[[Attempt], Coroutine[Any, Any, Outcome]]
End = Callable[[Attempt, Outcome, float], None]  # called after an attempt, with the seconds it took


@dataclass(eq=False)
class Crew(ABC):
    """Makes attempts, as many at once as its destinations allow.

    `perform` makes one and never raises. `pace` is what one takes on average, in seconds; `done` is how many were made.
    Called by whoever holds the lock, unless it says otherwise.
    """

    perform: Perform
    end: End
    on_error: Callable[[BaseException], None]
    destinations: Destinations
    lock: threading.Lock
    pace: float = field(init=False)
    done: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.pace = self.destinations.assumed

    @property
    def most(self) -> int:
        """Calls at once."""
        return self.destinations.most

    @property
    @abstractmethod
    def is_busy(self) -> bool:
        """Whether as many calls run as may; needs no lock."""

    @abstractmethod
    def wake(self) -> None:
        """Have what is ready begun, where it may. Raises RuntimeError where no thread can be started."""

    def note(self, attempt: Attempt, seconds: float) -> None:
        """It was made, and took so long."""
        self.done += 1
        self.pace += WEIGHT * (seconds - self.pace)
        self.destinations.done(attempt, seconds)
