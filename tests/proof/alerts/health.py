"""Nothing fires where nobody is needed: while all is well, and while processes are killed one at a time."""

import random
from collections import Counter
from dataclasses import dataclass, field
from threading import Event
from time import monotonic

from tests.proof.alerts.stage import Stage
from tests.proof.faults.ledger import Load
from tests.servers.eventually import eventually

PACE = 6.0  # seconds between two kills on average
READY = 120.0  # seconds until a killed process is back, on a busy machine
LAST = 300.0  # seconds after the last kill in which what it began would fire
_never = Event()


@dataclass
class Quiet:
    """What was seen meanwhile: alerts by name and in how many looks; the load, and who was killed."""

    seconds: float = 0.0
    accepted: int = 0
    sent: int = 0
    killed: Counter[str] = field(default_factory=Counter)
    fired: Counter[str] = field(default_factory=Counter)
    pending: Counter[str] = field(default_factory=Counter)

    @property
    def wrong(self) -> list[str]:
        return [f"{name} fired" for name in self.fired]


def stay_well(stage: Stage, load: Load, seconds: float) -> Quiet:
    """For so long."""
    began = _begin(stage)
    _never.wait(seconds)
    return _seen(stage, load, began, Counter())


def kill_singly(stage: Stage, load: Load, *, kills: int, seed: int) -> Quiet:
    """One process at a time, by SIGKILL; the next one is killed when all are back."""
    draw = random.Random(seed)  # noqa: S311 - repeatable
    began, killed = _begin(stage), Counter[str]()
    for _ in range(kills):
        _never.wait(draw.uniform(0, 2 * PACE))
        name = draw.choice(list(stage.fleet.members))
        stage.fleet.members[name].kill()
        killed[name.partition("-")[0]] += 1
        eventually(lambda: all(one.is_ready for one in stage.fleet.members.values()), READY, what=f"{name} is back")
    _never.wait(LAST)
    return _seen(stage, load, began, killed)


def _begin(stage: Stage) -> float:
    """What was seen while all started does not count."""
    stage.seen.clear()
    stage.pending.clear()
    return monotonic()


def _seen(stage: Stage, load: Load, began: float, killed: Counter[str]) -> Quiet:
    sent = int(stage.server.ask("SELECT count(*) FROM messages WHERE status = 'sent'"))
    return Quiet(monotonic() - began, load.ledger.accepted, sent, killed, Counter(stage.seen), Counter(stage.pending))
