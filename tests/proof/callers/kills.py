"""`kill -9` of a caller between its INSERT and its COMMIT, or in its COMMIT."""

import random
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle, islice, product
from threading import Event

from tests.proof.callers.agreement import Found
from tests.proof.callers.plans import LEVELS, Numbers, Plan, Step
from tests.proof.callers.programs import running
from tests.proof.callers.stage import Stage

AT_ONCE = 4
LONGEST = 0.004  # seconds from the word before COMMIT to the kill
PLACES = ("after its INSERT", "before its COMMIT", "in its COMMIT")
_pause = Event()


@dataclass(frozen=True)
class Victim:
    """It commits an order, and dies in the transaction of the next one."""

    plan: Plan
    place: str
    after: float  # seconds from the place to the kill

    @property
    def doomed(self) -> Plan:
        return Plan(self.plan.way, self.plan.level, self.plan.ending, self.plan.first + 1)


@dataclass(frozen=True)
class Killed:
    """The victims, those of them to whom the COMMIT was answered before they died, and what there is of all."""

    victims: list[Victim]
    told: set[int]
    found: Found

    @property
    def places(self) -> Counter[str]:
        return Counter(victim.place for victim in self.victims)

    @property
    def ways(self) -> Counter[str]:
        return Counter(victim.plan.way for victim in self.victims)

    @property
    def answered(self) -> int:
        return len({victim.doomed.first for victim in self.victims} & self.told)

    @property
    def came(self) -> int:
        """How many of those that died in their COMMIT without an answer are there all the same."""
        return len({victim.doomed.first for victim in self.victims} & self.found.orders - self.told)

    @property
    def wrong(self) -> list[str]:
        before = {victim.doomed.first for victim in self.victims if victim.place != PLACES[2]}
        sides = {
            "were committed and are lost": self.told - self.found.orders,
            "died before their COMMIT and are there": before & self.found.orders,
        }
        return self.found.wrong() + [f"{len(orders)} {what}" for what, orders in sides.items() if orders]


def kill_callers(stage: Stage, numbers: Numbers, ways: Sequence[str], *, kills: int, seed: int) -> Killed:
    """Ways, places and levels take turns."""
    draw = random.Random(seed)  # noqa: S311 - a plan that can be repeated
    turns = islice(cycle(product(LEVELS, PLACES, ways)), kills)
    victims = [
        Victim(Plan(way, level, "COMMIT", next(numbers.tens)), place, draw.uniform(0, LONGEST))
        for level, place, way in turns
    ]
    told: set[int] = set()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for orders in pool.map(lambda victim: _kill(stage, victim), victims):
            told |= orders
    return Killed(victims, told, stage.settled())


def _kill(stage: Stage, victim: Victim) -> set[int]:
    """Returns the orders whose COMMIT was answered."""
    with running(victim.plan.way, stage.callers_url) as program:
        program.tell([*victim.plan.steps(), ("say", "done")])
        program.hear("done")
        program.tell(_interrupted(victim.doomed, victim.place))
        program.hear("here")
        _pause.wait(victim.after)
        is_done = "done" in program.said_before_it_was_killed()
    return {victim.plan.first, *([victim.doomed.first] if is_done else [])}


def _interrupted(plan: Plan, place: str) -> list[Step]:
    """Its steps, with the word at which it is killed."""
    *before, commit = plan.steps()
    here: list[Step] = [("say", "here"), ("wait",)]
    if place == PLACES[0]:
        return [*before[:2], *here]
    if place == PLACES[1]:
        return [*before, *here]
    return [*before, ("say", "here"), commit, ("say", "done"), ("wait",)]
