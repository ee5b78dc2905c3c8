"""Outcomes that are still to be recorded: added by any thread, taken by the worker's."""

from collections import deque
from collections.abc import Sequence
from uuid import UUID

from herald.outbox.moves.record import Outcome

OUTCOME_BATCH = 1000  # in one transaction at most
RETURNED = 50  # attempts given back, in one transaction at most: a failing destination returns hundreds, none urgent


class Outcomes:
    """Of calls, and of attempts that were given back without one."""

    def __init__(self) -> None:
        self._called: deque[Outcome] = deque()
        self._returned: deque[Outcome] = deque()

    def __bool__(self) -> bool:
        return bool(self._called or self._returned)

    def add(self, outcome: Outcome) -> None:
        (self._returned if outcome.outcome == "postponed" else self._called).append(outcome)

    def put_back(self, outcomes: Sequence[Outcome]) -> None:
        """To be recorded first, in their order."""
        self._called.extendleft(reversed(outcomes))

    def take(self, *, returned: int) -> list[Outcome]:
        """The oldest, `returned` at most of those given back; one of a message: a statement sees only one."""
        taken: dict[UUID, Outcome] = {}
        _take(self._called, OUTCOME_BATCH, taken)
        _take(self._returned, returned, taken)
        return list(taken.values())


def _take(outcomes: deque[Outcome], most: int, taken: dict[UUID, Outcome]) -> None:
    """The oldest `most`; ends before one whose message is among the taken already."""
    for _ in range(most):
        if not outcomes or outcomes[0].id in taken:
            return
        outcome = outcomes.popleft()
        taken[outcome.id] = outcome
