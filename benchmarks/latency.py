"""From POST to delivered, through all processes, under a light load and on an idle system."""

from dataclasses import dataclass
from threading import Event
from typing import Any

from benchmarks.figures import Delay, Result
from benchmarks.relay import TOPICS
from benchmarks.stage import Stage
from tests.servers.eventually import eventually

RATE = 100  # notifications per second
CONNECTIONS = 16
IDLE = 6.0  # seconds without a message before a lone one: longer than a window
SETTLE = 60.0  # seconds until everything must be sent
Dates = tuple[float, float, float]  # POST began, accepted, sent; seconds since 1970
DATES = """
SELECT id::text, extract(epoch FROM accepted_at)::float, extract(epoch FROM sent_at)::float
FROM messages WHERE id = ANY (%(ids)s::uuid[])
"""
UNSENT = "SELECT count(*) FROM messages WHERE status <> 'sent'"


def measure(stage: Stage, *, rounds: int, is_quick: bool) -> list[Result]:
    """Milliseconds, by the clock that this machine's processes share."""
    seconds, lone = (5, 1) if is_quick else (20, 2)
    targets = {50: 12.0, 99: 40.0}
    whole = Delay(f"latency: start of POST → sent at {RATE}/s", [], targets)
    inside = Delay(f"latency: accepted → sent at {RATE}/s", [], targets)
    alone = Delay("latency: a lone notification on an idle system, start of POST → sent", [], {99: 1000.0})
    stage.make_topics(*TOPICS)
    database = stage.database()
    settings = stage.settings(database)
    with stage.api(settings) as port, stage.herald("relay", settings), stage.herald("pipeline", settings):
        flow = Flow(stage, database, settings, port)
        flow.post(seconds=1)  # the group is joined, everything is warm
        for _ in range(rounds):
            _note(flow.post(seconds=seconds), whole, inside)
        for _ in range(rounds * lone):
            Event().wait(IDLE)
            _note(flow.post(seconds=0.1, warm_up=0, rate=1), alone)
    stage.drop(database)
    return [whole, inside, alone]


@dataclass(frozen=True)
class Flow:
    """All processes, running."""

    stage: Stage
    database: str
    settings: dict[str, str]
    port: int

    def post(self, *, seconds: float, warm_up: float = 1.0, rate: float = RATE) -> list[Dates]:
        """The dates of what was posted after the warm-up, once all of it is sent."""
        return self.dates(self.load(seconds=seconds, warm_up=warm_up, rate=rate))

    def load(self, *, seconds: float, warm_up: float = 1.0, rate: float = RATE) -> Any:
        """What the load generator says."""
        arguments = {"port": self.port, "connections": CONNECTIONS, "rate": rate, "warm-up": warm_up}
        return self.stage.measure("benchmarks.load", self.settings, **arguments, seconds=seconds)

    def dates(self, load: Any) -> list[Dates]:
        """The dates of what it posted, once all of it is sent."""
        eventually(lambda: self.stage.fetch(self.database, UNSENT) == [(0,)], SETTLE, what="all is sent")
        ids = {"ids": [one for one, _ in load["posted"]]}
        stored = {one: (accepted, sent) for one, accepted, sent in self.stage.fetch(self.database, DATES, ids)}
        return [(began, *stored[one]) for one, began in load["posted"]]


def _note(posted: list[Dates], whole: Delay, inside: Delay | None = None) -> None:
    whole.milliseconds += [(sent - began) * 1000 for began, _, sent in posted]
    if inside:
        inside.milliseconds += [(sent - accepted) * 1000 for _, accepted, sent in posted]
