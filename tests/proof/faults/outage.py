"""The pipeline is away for a long time: what was requested twice, and how fast the backlog is worked off."""

from dataclasses import dataclass
from threading import Event
from time import monotonic

from tests.proof.faults.ledger import Ledger
from tests.proof.faults.oracle import Verdict
from tests.proof.faults.report import machine, measured
from tests.proof.faults.scene import Scene
from tests.servers.eventually import eventually

FULL = 100_000.0  # requests per second: more than anybody takes
MEASURED = 10.0  # seconds at most
SHARE = 0.8  # of the capacity
MANY = 2_000  # users: of one user, one message is delivered after the other
_REQUESTS = "SELECT payload ->> 'cause', count(*) FROM outbox WHERE type = 'message.requested' GROUP BY 1"
_pause = Event()


@dataclass
class Outage:
    """Rates in messages per second; `requests` are counted by cause, the first of each is `accepted`."""

    capacity: float
    seconds: float
    waiting: int
    drained_in: float
    requests: dict[str, int]
    messages: int

    @property
    def ratio(self) -> float:
        return sum(self.requests.values()) / self.messages

    @property
    def drain_rate(self) -> float:
        return self.waiting / self.drained_in


def go_without_pipeline(scene: Scene, seconds: float, *, deadline: float) -> tuple[Outage, Verdict]:
    """Measure the capacity, stop every pipeline for so long at 80 % of it, start them and wait until all is over."""
    ledger = Ledger()
    capacity = _capacity(scene, ledger, min(seconds, MEASURED), deadline)
    pipelines = scene.fleet.of("pipeline").values()
    for pipeline in pipelines:
        assert pipeline.stop() == 0
    with scene.load(SHARE * capacity, ledger=ledger, users=MANY):
        _pause.wait(seconds)
    waiting = _waiting(scene)
    for pipeline in pipelines:
        pipeline.start()
    drained_in = _drain(scene, waiting, deadline)
    verdict = scene.judge(ledger, deadline)
    return Outage(capacity, seconds, waiting, drained_in, scene.counts(_REQUESTS), verdict.figures["messages"]), verdict


def _capacity(scene: Scene, ledger: Ledger, seconds: float, deadline: float) -> float:
    """What callers that never pause get through, from the first request to the last delivery."""
    began = monotonic()
    with scene.load(FULL, ledger=ledger, users=MANY):
        _pause.wait(seconds)
    eventually(lambda: _waiting(scene) == 0, deadline, what="all of it is delivered")
    return ledger.accepted / (monotonic() - began)


def _drain(scene: Scene, waiting: int, deadline: float) -> float:
    """Seconds from the first delivery to the last: until then the pipelines only start."""
    eventually(lambda: scene.fleet.revive() and _waiting(scene) < waiting, deadline, what="the first is delivered")
    began = monotonic()
    eventually(lambda: scene.fleet.revive() and _waiting(scene) == 0, deadline, what="all of them are delivered")
    return monotonic() - began


def _waiting(scene: Scene) -> int:
    return sum(scene.left().values())


def describe(outage: Outage, verdict: Verdict) -> str:
    """For the page."""
    return measured(
        f"{machine()}. No pipeline for {outage.seconds:g} s at {SHARE:.0%} of the capacity.",
        {
            "capacity, messages per second": f"{outage.capacity:,.0f}",
            "messages accepted": verdict.figures["accepted"],
            "lost": verdict.figures["lost"],
            "waiting when the pipeline came back": outage.waiting,
            "**requests divided by messages**": f"{outage.ratio:.4f}",
            "of those, by cause": ", ".join(f"{count:,} {cause}" for cause, count in outage.requests.items()),
            "calls repeated": verdict.figures["arrivals beyond the one called sent"],
            "worked off, messages per second": f"{outage.drain_rate:,.0f}",
        },
        verdict.in_words(),
    )
