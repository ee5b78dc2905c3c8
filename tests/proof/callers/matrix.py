"""Each way, in each isolation level, with each ending: what is left is what was committed, and nothing else."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from tests.proof.callers.plans import PREPARED, RESTARTED, Numbers, Plan
from tests.proof.callers.programs import perform
from tests.proof.callers.stage import Stage


@dataclass
class Played:
    """The plans that were carried out, and what does not agree."""

    plans: list[Plan] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def kept(self) -> set[int]:
        return {order for plan in self.plans for order in plan.kept}

    def count(self) -> dict[str, Counter[str]]:
        """Transactions by their ending and way."""
        found: dict[str, Counter[str]] = {}
        for plan in self.plans:
            found.setdefault(plan.ending, Counter())[plan.way] += 1
        return found


def play(stage: Stage, numbers: Numbers, ways: Iterable[str]) -> Played:
    """All plans of these ways; the prepared ones are ended by another session, some after a restart of PostgreSQL."""
    played = Played([plan for plan in numbers.matrix() if plan.way in ways])
    for way, plans in groupby(played.plans, key=lambda plan: plan.way):
        perform(way, stage.callers_url, [plan.steps() for plan in plans])
    prepared = [plan for plan in played.plans if plan.ending in PREPARED]
    if seen := stage.visible([plan.first for plan in prepared]):
        played.wrong.append(f"{seen} messages of prepared transactions could be seen")
    _end(stage, [plan for plan in prepared if plan.ending not in RESTARTED])
    stage.restart()
    _end(stage, [plan for plan in prepared if plan.ending in RESTARTED])
    played.wrong += stage.settled().wrong(played.kept)
    return played


def _end(stage: Stage, plans: Sequence[Plan]) -> None:
    for plan in plans:
        stage.server.execute(f"{PREPARED[plan.ending]} '{plan.gid}'")
