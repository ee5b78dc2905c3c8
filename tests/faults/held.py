"""Somebody else's write transaction stays open for long: nothing waits for it, and no dead row can leave."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from threading import Event
from time import monotonic

import psycopg2

from tests.faults.ledger import Load
from tests.faults.oracle import Verdict
from tests.faults.recovery import delays, p99
from tests.faults.report import machine, paragraphs, table
from tests.faults.scene import Scene
from tests.outbox.connections import connected, fetch

RATE = 60.0  # requests per second
MANY = 2_000  # users
SLICE = 30.0  # seconds of which a p99 is taken
WARM = 10.0  # seconds
ELSEWHERE = "CREATE TABLE elsewhere (n int); INSERT INTO elsewhere VALUES (1)"
_DEAD = "SELECT relname, n_dead_tup FROM pg_stat_user_tables WHERE n_dead_tup > 0 ORDER BY 2 DESC LIMIT 3"
_pause = Event()


@dataclass
class Held:
    """Each p99 is of one slice, in seconds; `dead` are the tables with the most dead rows, just before the end."""

    seconds: float
    before: float
    first: float
    last: float
    after: float
    dead: dict[str, int]


def hold_a_transaction(scene: Scene, seconds: float, *, deadline: float) -> tuple[Held, Verdict]:
    """Load from before it begins until after its end, then the oracle's word."""
    length = min(SLICE, seconds / 2)
    with scene.load(RATE, users=MANY) as load:
        _watch(scene, WARM + length)
        began = monotonic()
        with closing(psycopg2.connect(scene.database)) as other:
            other.cursor().execute(ELSEWHERE)
            _watch(scene, seconds)
            dead = _dead_rows(scene)
            other.commit()
        ended = monotonic()
        _watch(scene, length)
    verdict = scene.judge(load.ledger, deadline)
    of = _p99_of(scene, load, length)
    return Held(seconds, of(began - length), of(began), of(ended - length), of(ended), dead), verdict


def _watch(scene: Scene, seconds: float) -> None:
    until = monotonic() + seconds
    while monotonic() < until:
        scene.fleet.revive()
        _pause.wait(0.1)


def _dead_rows(scene: Scene) -> dict[str, int]:
    with connected(scene.database) as connection:
        return dict(fetch(connection, _DEAD))


def _p99_of(scene: Scene, load: Load, length: float) -> Callable[[float], float]:
    def of(start: float) -> float:
        return p99(delays(scene, load, start, start + length)) or 0.0

    return of


def describe(held: Held, verdict: Verdict) -> str:
    """For the page."""
    return paragraphs(
        [
            f"{machine()}. {RATE:g} requests per second; p99 of {SLICE:g} s each, from the POST to the provider.",
            table(
                ("", "measured"),
                {
                    "the transaction is open for": f"{held.seconds:,.0f} s",
                    "messages accepted": verdict.figures["accepted"],
                    "lost": verdict.figures["lost"],
                    "p99 before it": _milliseconds(held.before),
                    "p99 when it has begun": _milliseconds(held.first),
                    "**p99 just before its end**": _milliseconds(held.last),
                    "p99 after it": _milliseconds(held.after),
                    "dead rows that it keeps": ", ".join(f"{count:,} in {name}" for name, count in held.dead.items()),
                },
            ),
            verdict.in_words(),
        ]
    )


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:,.0f} ms"
