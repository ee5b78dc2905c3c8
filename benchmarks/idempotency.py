"""What a storm under one idempotency key costs everybody else, and what the same storm costs without a key."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from time import time
from typing import Any
from uuid import uuid4

from benchmarks.figures import Contest, Figure, Result, Target, percentile
from benchmarks.run import Run
from benchmarks.stage import Stage
from tests.proof.end_to_end.storm import CALLERS, Storm

CONNECTIONS = 32  # of the other clients
RATE = 100  # requests per second of the other clients where they are few
EVERY = 1.0  # seconds between two storms
TARGET = Target(most=2.0)
BODY = {"user_id": "ada", "event": "storm", "content": "hello"}
Span = tuple[float, float]  # began, ended; seconds since 1970


def measure(run: Run) -> list[Result]:
    """Delays of others with and without a storm of 200 callers each second; the API has ten connections for reads."""
    seconds, stage = run.pick(3, 5), run.stage
    name = f"POST → 202, {CONNECTIONS} busy connections beside {CALLERS} callers each second"
    one_key = Contest(f"{name}, all with one Idempotency-Key, p99, ms", "without them", TARGET)
    no_key = Contest(f"{name}, without a key, p99, ms", "without them")
    inside = Figure(f"POST → 202 of others at {RATE}/s, only what meets such a storm, p99, ms")
    with run.copy() as database:
        settings = stage.settings(database, HERALD_POOL_SIZE="10")
        with stage.api(settings) as port:
            others = Others(stage, settings, port)
            for _ in range(run.rounds):
                quiet = _p99(others.post(seconds=seconds))
                one_key.add(_p99(others.post_beside_storms(has_key=True, seconds=seconds)[0]), quiet)
                no_key.add(_p99(others.post_beside_storms(has_key=False, seconds=seconds)[0]), quiet)
                inside.add(
                    percentile(list(_within(*others.post_beside_storms(has_key=True, seconds=seconds, rate=RATE))), 99)
                )
    return [one_key, no_key, inside]


@dataclass(frozen=True)
class Others:
    """The clients that want nothing but their own answers."""

    stage: Stage
    settings: dict[str, str]
    port: int

    def post(self, **arguments: object) -> Any:
        """What the load generator says, run to its end."""
        arguments = {"port": self.port, "connections": CONNECTIONS, **arguments}
        return self.stage.measure("benchmarks.load", self.settings, **arguments)

    def post_beside_storms(self, *, has_key: bool, **arguments: object) -> tuple[Any, list[Span]]:
        """The same, and when the storms were; the first falls into the warm-up."""
        storms: list[Span] = []
        with ThreadPoolExecutor(1) as threads, closing(Storm([self.port])) as storm:
            load = threads.submit(self.post, **arguments)
            while not load.done():
                storms.append(_timed(storm, uuid4().hex if has_key else None))
                wait([load], timeout=EVERY)
            return load.result(), storms


def _timed(storm: Storm, key: str | None) -> Span:
    began = time()
    answers = storm.send(BODY, key=key)
    assert len({answer.body["id"] for answer in answers}) == (1 if key else CALLERS)
    return began, time()


def _p99(load: Any) -> float:
    return percentile(load["milliseconds"], 99)


def _within(load: Any, storms: list[Span]) -> Iterator[float]:
    for milliseconds, (_, began) in zip(load["milliseconds"], load["posted"], strict=True):
        ended = began + milliseconds / 1000
        if any(began < storm_ended and ended > storm_began for storm_began, storm_ended in storms):
            yield milliseconds
