"""Somebody else's write transaction stays open for long: nothing waits for it, and no dead row can leave."""

import math
from contextlib import closing
from dataclasses import dataclass
from time import monotonic

from herald.outbox.postgres.statements import execute
from tests.proof.faults.oracle import Verdict
from tests.proof.faults.recovery import delays, p99, watch
from tests.proof.faults.report import machine, measured
from tests.proof.faults.scene import Scene
from tests.servers.postgres import connect_to_tables

RATE = 60.0  # requests per second
MANY = 2_000  # users
SLICE = 30.0  # seconds of which a p99 is taken
WARM = 10.0  # seconds
ELSEWHERE = "CREATE TABLE elsewhere (n int); INSERT INTO elsewhere VALUES (1)"
_DEAD = "SELECT relname, n_dead_tup FROM pg_stat_user_tables WHERE n_dead_tup > 0 ORDER BY 2 DESC LIMIT 3"


@dataclass
class LongTransaction:
    """Each p99 is of one slice, in seconds; `dead` are the tables with the most dead rows, just before the end."""

    seconds: float
    before: float
    first: float
    last: float
    after: float
    dead: dict[str, int]


def go_on_beside_one(scene: Scene, seconds: float, *, deadline: float) -> tuple[LongTransaction, Verdict]:
    """Load from before it begins until after its end, then the oracle's word; `seconds`: two slices at least."""
    with scene.load(RATE, users=MANY) as load:
        watch(scene, monotonic() + WARM + SLICE)
        began = monotonic()
        with closing(connect_to_tables(scene.database)) as other:
            execute(other, ELSEWHERE)
            watch(scene, began + seconds)
            dead = scene.counts(_DEAD)
            other.commit()
        ended = monotonic()
        watch(scene, ended + SLICE)
    verdict = scene.judge(load.ledger, deadline)
    starts = (began - SLICE, began, ended - SLICE, ended)
    before, first, last, after = (p99(delays(scene, load, start, start + SLICE)) or math.inf for start in starts)
    return LongTransaction(seconds, before, first, last, after, dead), verdict


def describe(found: LongTransaction, verdict: Verdict) -> str:
    """For the page."""
    return measured(
        f"{machine()}. {RATE:g} requests per second; p99 of {SLICE:g} s each, from the POST to the provider.",
        {
            "the transaction is open for": f"{found.seconds:,.0f} s",
            "messages accepted": verdict.figures["accepted"],
            "lost": verdict.figures["lost"],
            "p99 before it": _milliseconds(found.before),
            "p99 when it has begun": _milliseconds(found.first),
            "**p99 just before its end**": _milliseconds(found.last),
            "p99 after it": _milliseconds(found.after),
            "dead rows that it keeps": ", ".join(f"{count:,} in {name}" for name, count in found.dead.items()),
        },
        verdict.in_words(),
    )


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:,.0f} ms"
