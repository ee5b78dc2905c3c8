"""How long it takes until another one works, and until delays are normal again, after one process is lost.

Measured with the settings that Herald has by default. A delay is from just before the POST to the
arrival at the provider; it belongs to the second in which the request was sent.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import ceil
from threading import Event
from time import monotonic

from tests.faults.fleet import Member
from tests.faults.ledger import Load
from tests.faults.report import machine, paragraphs
from tests.faults.scene import Scene
from tests.servers.eventually import eventually

RATE = 60.0  # requests per second
BEFORE = 10.0  # seconds of normal work to compare with
AFTER = 20.0  # seconds looked at after the end of a fault
FROZEN = 25.0  # seconds at most that a fault lasts
NORMAL = 3.0  # times the p99 of normal work, and at least
AT_LEAST = 0.05  # seconds: below it a delay is no sign of trouble on a machine that is shared
FAULTS = (
    ("kill -9 of the leading relay", "relay", False),
    ("SIGSTOP of the leading relay", "relay", True),
    ("kill -9 of a pipeline", "pipeline", False),
    ("SIGSTOP of a pipeline for 25 s", "pipeline", True),
    ("kill -9 of an API", "api", False),
)
TAKEOVER = 60.0  # seconds to wait for a successor
_pause = Event()


@dataclass
class Recovery:
    """Seconds; `took_over` is None where there is no lead to take, `normal_after` None where it never was."""

    fault: str
    took_over: float | None
    normal: float
    worst: float
    normal_after: float | None


def measure(scene: Scene, load: Load, fault: str, victim: Member, *, is_frozen: bool) -> Recovery:
    """Take the victim out of work, wait for a successor and until all is normal."""
    _watch(scene, monotonic() + BEFORE)
    began = monotonic()
    victim.pause() if is_frozen else victim.kill()
    took_over = _takeover(scene, victim, began) if victim.role == "relay" else None
    if is_frozen:
        _pause.wait(max(0.0, began + FROZEN - monotonic()) if victim.role == "pipeline" else 1.0)
        victim.resume()
    ended = monotonic() if is_frozen else began
    _watch(scene, ended + AFTER)
    normal = p99(delays(scene, load, began - BEFORE, began)) or 0.0
    bound = max(NORMAL * normal, AT_LEAST)
    return Recovery(
        fault,
        took_over,
        normal,
        max(delays(scene, load, began - 1, ended + AFTER / 2), default=0.0),
        _normal_after(lambda second: p99(delays(scene, load, ended + second, ended + second + 1)), bound),
    )


def make_leader(scene: Scene) -> Member:
    """The first relay, the second being a standby that never led."""
    leader, standby = scene.fleet.of("relay").values()
    standby.kill()
    eventually(lambda: '"leading"' in leader.output_since_start(), TAKEOVER, what="the first relay leads")
    standby.start()
    eventually(lambda: standby.is_ready, TAKEOVER, what="the second one stands by")
    return leader


def _takeover(scene: Scene, victim: Member, began: float) -> float:
    """Until the standby says that it leads."""
    (standby,) = [member for member in scene.fleet.of("relay").values() if member is not victim]
    eventually(lambda: '"leading"' in standby.output_since_start(), TAKEOVER, what="the standby leads")
    return monotonic() - began


def _watch(scene: Scene, until: float) -> None:
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
    for fault, role, is_frozen in FAULTS:
        victim = make_leader(scene) if role == "relay" else next(iter(scene.fleet.of(role).values()))
        yield measure(scene, load, fault, victim, is_frozen=is_frozen)


def describe(found: list[Recovery]) -> str:
    """For the page: the worst of each fault."""
    rows = ["| fault | another one leads after | longest delay | p99 normal again after |", "|---|---|---|---|"]
    for fault, _, _ in FAULTS:
        same = [one for one in found if one.fault == fault]
        leads = [one.took_over for one in same if one.took_over is not None]
        normal = [one.normal_after for one in same]
        again = "never" if None in normal else f"{max(one for one in normal if one is not None):.0f} s"
        lead = f"{max(leads):.2f} s" if leads else ""
        rows.append(f"| {fault} | {lead} | {max(one.worst for one in same):.1f} s | {again} |")
    usual = sorted(one.normal for one in found)[len(found) // 2]
    head = f"{machine()}, {RATE:g} requests per second, default settings; usual p99 {1000 * usual:.0f} ms."
    return paragraphs([head, "\n".join(rows)])
