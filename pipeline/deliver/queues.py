"""What waits and runs to one destination, and over its channel."""

from collections import deque
from dataclasses import dataclass, field

from herald.pipeline.deliver.attempt import Attempt

SLOW = 2.0  # seconds of one call from which on its destination is slow; so is one that has not answered yet
RESERVE = 4  # of so many calls over a channel one is kept from those that are slow


@dataclass(slots=True)
class Channel:
    """`slow` and `quick`: when the calls that count as such began, the oldest first, by their identity.

    `open`: attempts that wait or run. `full` and `reserved` wait for a place: for any, and for one that slow
    destinations may have.
    """

    limit: int
    open: int = 0
    slow: dict[int, float] = field(default_factory=dict)
    quick: dict[int, float] = field(default_factory=dict)
    full: "deque[Queue]" = field(default_factory=deque)
    reserved: "dict[Queue, None]" = field(default_factory=dict)

    @property
    def has_room(self) -> bool:
        return len(self.slow) + len(self.quick) < self.limit

    @property
    def most_slow(self) -> int:
        return self.limit - self.limit // RESERVE

    @property
    def has_room_for_slow(self) -> bool:
        return self.has_room and len(self.slow) < self.most_slow

    def age(self, now: float) -> None:
        """What has taken too long by now is slow."""
        while self.quick and now - self.quick[oldest := next(iter(self.quick))] >= SLOW:
            self.slow[oldest] = self.quick.pop(oldest)

    def wait_for_slow(self, now: float) -> float:
        """Seconds, about, until one more call to a slow destination begins behind all that are open."""
        if not self.slow or self.has_room_for_slow:
            return 0.0
        return self.open / self.most_slow * (now - next(iter(self.slow.values())))


@dataclass(slots=True, eq=False)
class Queue:
    """`pace`: seconds a delivery takes on average, `last`: the last one; `open`: attempts that wait or run.

    `begun`: when those that run began, the oldest first, by their identity. Only a host can be slow.
    """

    channel: Channel
    limit: int
    pace: float
    is_host: bool
    last: float = float("inf")
    is_in_turn: bool = False
    open: int = 0
    begun: dict[int, float] = field(default_factory=dict)
    ready: deque[Attempt] = field(default_factory=deque)

    @property
    def active(self) -> int:
        return len(self.begun)

    def age(self, now: float) -> float:
        """Seconds that the oldest call takes by now."""
        return now - next(iter(self.begun.values())) if self.begun else 0.0

    def is_slow(self, now: float) -> bool:
        return self.is_host and max(self.last, self.age(now)) >= SLOW
