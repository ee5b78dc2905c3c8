"""Lanes: the messages of one key, one after the other.

A lane breaks when one of its attempts is given back untried, and on a strict topic when one neither delivers
nor ends its message: what waits behind it goes back, and nothing more enters until the database has the
outcomes. From then on the claim knows that it has to wait.
"""

from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from uuid import UUID

from herald.outbox.moves.record import Outcome
from herald.pipeline.deliver.attempt import Attempt

Key = tuple[str, str]  # topic and key


@dataclass(slots=True)
class _Lane:
    is_busy: bool = False
    is_broken: bool = False
    unrecorded: int = 0
    waiting: deque[Attempt] = field(default_factory=deque)


class Lanes:
    """Not safe by itself: its owner holds a lock."""

    def __init__(self, strict_topics: Collection[str]) -> None:
        self._strict_topics = strict_topics
        self._lanes: dict[Key, _Lane] = {}
        self._unrecorded: dict[tuple[UUID, int], Key] = {}  # by message and attempt: a hung one may be claimed again

    def length(self, key: Key) -> int:
        lane = self._lanes.get(key)
        return len(lane.waiting) if lane else 0

    def is_here(self, key: Key) -> bool:
        """Whether a strict lane is in order here, so that more may be claimed behind what is under way."""
        lane = self._lanes.get(key)
        return lane is not None and not lane.is_broken

    def enter(self, attempt: Attempt) -> bool | None:
        """True: it may begin; False: it waits for those before it; None: its lane is broken, it goes back."""
        key = attempt.request.lane
        if key is None:
            return True
        lane = self._lanes.setdefault(key, _Lane())
        if lane.is_broken or key[0] in self._strict_topics:
            self._await_record(key, attempt)
        if lane.is_broken:
            return None
        if lane.is_busy:
            lane.waiting.append(attempt)
            return False
        lane.is_busy = True
        return True

    def leave(self, attempt: Attempt, outcome: Outcome) -> tuple[Attempt | None, list[Attempt]]:
        """The next one that may begin, and those that go back."""
        key = attempt.request.lane
        if key is None:
            return None, []
        lane = self._lanes[key]
        is_strict = key[0] in self._strict_topics
        if outcome.outcome == "postponed" or (is_strict and outcome.outcome not in {"sent", "dead"}):
            return None, self._break(key, attempt)
        if lane.waiting:
            return lane.waiting.popleft(), []
        lane.is_busy = False
        if not lane.unrecorded:
            del self._lanes[key]
        return None, []

    def recorded(self, outcomes: Iterable[Outcome]) -> None:
        """The database has these: a lane that waits for no other is forgotten, broken or not."""
        for outcome in outcomes:
            key = self._unrecorded.pop((outcome.id, outcome.attempt), None)
            if key is not None:
                lane = self._lanes[key]
                lane.unrecorded -= 1
                if not (lane.unrecorded or lane.is_busy):
                    del self._lanes[key]

    @property
    def has_waiting(self) -> bool:
        return any(lane.waiting for lane in self._lanes.values())

    def abandon(self) -> list[Attempt]:
        left = [attempt for lane in self._lanes.values() for attempt in lane.waiting]
        for lane in self._lanes.values():
            lane.waiting.clear()
        return left

    def _break(self, key: Key, attempt: Attempt) -> list[Attempt]:
        """Those that go back with it."""
        lane = self._lanes[key]
        back = list(lane.waiting)
        lane.waiting.clear()
        lane.is_broken, lane.is_busy = True, False
        for one in (attempt, *back):
            self._await_record(key, one)
        return back

    def _await_record(self, key: Key, attempt: Attempt) -> None:
        one = attempt.request.id, attempt.number
        if one not in self._unrecorded:
            self._lanes[key].unrecorded += 1
            self._unrecorded[one] = key
