"""How long it takes until another one works, and until delays are normal again, after one process is lost.

Measured with the settings that Herald has by default. A delay is from just before the POST to the
arrival at the provider; it belongs to the second in which the request was sent.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import ceil
from threading import Event
from time import monotonic
from typing import NamedTuple

from tests.proof.faults.fleet import Member
from tests.proof.faults.ledger import Load
from tests.proof.faults.report import machine, paragraphs
from tests.proof.faults.scene import Scene
from tests.servers.eventually import eventually
from tests.servers.proxy import Proxy

RATE = 60.0  # requests per second
BEFORE = 10.0  # seconds of normal work to compare with
AFTER = 20.0  # seconds looked at after the end of a fault
FROZEN = 25.0  # seconds that a fault lasts where nobody takes over
NORMAL = 3.0  # times the p99 of normal work, and at least
AT_LEAST = 0.05  # seconds: below it a delay is no sign of trouble on a machine that is shared
TAKEOVER = 60.0  # seconds to wait for a successor
_pause = Event()


class Fault(NamedTuple):
    """One process is lost to it; the proxy is the first relay's network. `end` is None where it is over at once."""

    name: str
    role: str
    begin: Callable[[Member, Proxy], object]
    end: Callable[[Member, Proxy], object] | None = None


FAULTS = (
    Fault("kill -9 of the leading relay", "relay", lambda victim, _: victim.kill()),
    Fault("SIGSTOP of the leading relay", "relay", lambda victim, _: victim.pause(), lambda victim, _: victim.resume()),
    Fault(
        "half-open network between the leading relay and PostgreSQL",
        "relay",
        lambda _, network: network.swallow(),
        lambda _, network: network.heal(),
    ),
    Fault("kill -9 of a pipeline", "pipeline", lambda victim, _: victim.kill()),
    Fault(
        f"SIGSTOP of a pipeline for {FROZEN:.0f} s",
        "pipeline",
        lambda victim, _: victim.pause(),
        lambda victim, _: victim.resume(),
    ),
    Fault("kill -9 of an API", "api", lambda victim, _: victim.kill()),
)


@dataclass
class Recovery:
    """Seconds; `took_over` is None where there is no lead to take, `normal_after` None where it never was."""

    fault: str
    took_over: float | None
    normal: float
    worst: float
    normal_after: float | None


def measure(scene: Scene, load: Load, fault: Fault, victim: Member) -> Recovery:
    """Take the victim out of work, wait for a successor and until all is normal."""
    assert scene.network
    watch(scene, monotonic() + BEFORE)
    began = ended = monotonic()
    fault.begin(victim, scene.network)
    took_over = _takeover(scene, victim, began) if victim.role == "relay" else None
    if fault.end:
        _pause.wait(1.0 if took_over else FROZEN)
        fault.end(victim, scene.network)
        ended = monotonic()
    watch(scene, ended + AFTER)
    normal = p99(delays(scene, load, began - BEFORE, began)) or 0.0
    bound = max(NORMAL * normal, AT_LEAST)
    return Recovery(
        fault.name,
        took_over,
        normal,
        max(delays(scene, load, began - 1, ended + AFTER / 2), default=0.0),
        _normal_after(lambda second: p99(delays(scene, load, ended + second, ended + second + 1)), bound),
    )


def make_leader(scene: Scene) -> Member:
    """The first relay, started anew, the second being a standby that never led."""
    leader, standby = scene.fleet.of("relay").values()
    standby.kill()
    leader.kill()
    leader.start()
    eventually(lambda: '"leading"' in leader.output_since_start(), TAKEOVER, what="the first relay leads")
    standby.start()
    eventually(lambda: standby.is_ready, TAKEOVER, what="the second one stands by")
    return leader


def _takeover(scene: Scene, victim: Member, began: float) -> float:
    """Until the standby says that it leads."""
    (standby,) = [member for member in scene.fleet.of("relay").values() if member is not victim]
    eventually(lambda: '"leading"' in standby.output_since_start(), TAKEOVER, what="the standby leads")
    return monotonic() - began


def watch(scene: Scene, until: float) -> None:
    """Revive what has ended, as a supervisor does, up to that moment of the monotonic clock."""
    while monotonic() < until:
        scene.fleet.revive()
        _pause.wait(0.1)


def delays(scene: Scene, load: Load, start: float, end: float) -> list[float]:
    """Of the notifications that were sent in between; what never arrived counts as infinitely late."""
    first: dict[int, float] = {}
    for arrival in list(scene.provider.arrivals):
        first[arrival.number] = min(arrival.at, first.get(arrival.number, arrival.at))
    sent = [
        entry
        for entry in list(load.ledger.entries)
        if start <= entry.sent < end and entry.topic == "notifications" and entry.outcome == "accepted"
    ]
    return [first.get(entry.number, float("inf")) - entry.sent for entry in sent]


def p99(found: list[float]) -> float | None:
    return sorted(found)[ceil(0.99 * len(found)) - 1] if found else None


def _normal_after(p99_of: Callable[[int], float | None], bound: float) -> float | None:
    """The first second from which on every second looked at is normal."""
    seconds = range(int(AFTER) - 1)
    bad = [second for second in seconds if (found := p99_of(second)) is not None and found > bound]
    if not bad:
        return 0.0
    return float(bad[-1] + 1) if bad[-1] + 1 < len(seconds) else None


def measure_all(scene: Scene, load: Load) -> Iterator[Recovery]:
    """Each fault in its turn."""
    for fault in FAULTS:
        victim = make_leader(scene) if fault.role == "relay" else next(iter(scene.fleet.of(fault.role).values()))
        yield measure(scene, load, fault, victim)


def describe(found: list[Recovery]) -> str:
    """For the page: the worst of each fault."""
    rows = ["| fault | another one leads after | longest delay | p99 normal again after |", "|---|---|---|---|"]
    for fault in FAULTS:
        same = [one for one in found if one.fault == fault.name]
        leads = [one.took_over for one in same if one.took_over is not None]
        normal = [one.normal_after for one in same]
        again = "never" if None in normal else f"{max(one for one in normal if one is not None):.0f} s"
        lead = f"{max(leads):.2f} s" if leads else ""
        rows.append(f"| {fault.name} | {lead} | {max(one.worst for one in same):.1f} s | {again} |")
    usual = sorted(one.normal for one in found)[len(found) // 2]
    head = f"{machine()}, {RATE:g} requests per second, default settings; usual p99 {1000 * usual:.0f} ms."
    return paragraphs([head, "\n".join(rows)])
