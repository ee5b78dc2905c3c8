"""Nobody is convicted in an outage: what concerns everybody ends no message, and afterwards all is sent by itself.

Convicted counts messages that end otherwise than sent, records of another producer on `dead_letters`, and good
requests that are refused. One fleet endures one fault after the other; of each, all has to be over before the next.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from herald.outbox.kafka.offsets import partitions_of, read_end_offsets
from herald.outbox.postgres.connections import read_clock
from herald.outbox.postgres.statements import fetch
from herald.outbox.registry import DEAD_LETTERS
from tests.outbox.connections import connected
from tests.proof.faults import oracle
from tests.proof.faults.court import DATABASE, Court
from tests.proof.faults.ledger import Entry
from tests.proof.faults.oracle import Verdict
from tests.proof.faults.recovery import watch
from tests.proof.faults.report import machine, paragraphs
from tests.proof.faults.shared_faults import EVERY, Shared
from tests.proof.faults.stranger import Stranger, name_adopted
from tests.servers.eventually import eventually

RATE = 30.0  # requests per second
PADDING = 300_000  # characters at most: memory for one message may be short though others find enough
ANSWER = 10.0  # seconds
BACK = 120.0  # seconds until something is accepted and arrives again
OVER = 180.0  # seconds until everything has ended
LASTING = "('sent', 'dead', 'unknown', 'cancelled', 'expired', 'discarded')"

_UNFINISHED = f"SELECT count(*) FROM messages WHERE status NOT IN {LASTING}"
_CONVICTED = """
SELECT type || coalesce(': ' || left(payload ->> 'reason', 200), ''), count(*) FROM outbox
WHERE type IN ('message.rejected', 'message.dead_lettered', 'message.discarded', 'message.expired')
    AND recorded_at >= %s
GROUP BY 1
"""


@dataclass
class Held:
    """What came of one fault; `over_after` is in seconds from its end until everything was over."""

    fault: str
    lasted: float = 0.0
    accepted: int = 0
    unanswered: int = 0
    over_after: float = 0.0
    refused: dict[str, int] = field(default_factory=dict)
    ended: dict[str, int] = field(default_factory=dict)
    dead_letters: int = 0
    trouble: str = ""

    @property
    def convicted(self) -> int:
        return sum(self.refused.values()) + sum(self.ended.values()) + self.dead_letters

    def in_words(self) -> str:
        """What is wrong, or nothing."""
        found = [f"{count} {what}" for what, count in {**self.refused, **self.ended}.items()]
        found += [f"{self.dead_letters} dead letters"] if self.dead_letters else []
        return "; ".join([*found, *([self.trouble] if self.trouble else [])])


def chosen(text: str | None, court: Court) -> list[Shared]:
    """Those whose name contains the text, and that this machine can have."""
    return [one for one in EVERY if (not text or text in one.name) and (court.can_fill or one.name != "the disk full")]


def hold_all(court: Court, faults: Iterable[Shared], seconds: float) -> Iterator[Held]:
    """One after the other."""
    for fault in faults:
        yield hold(court, fault, seconds)


def hold(court: Court, fault: Shared, seconds: float) -> Held:
    """Load before, during and after the fault; returns when everything is over, or should long have been."""
    held, first = Held(fault.name), len(court.ledger.entries)
    with connected(court.server.url(DATABASE)) as connection:
        since = read_clock(connection)
    letters = count_dead_letters(court)
    try:
        ended = _endure(court, fault, seconds, held)
        eventually(lambda: _is_over(court), OVER, what="everything is over")
        held.over_after = monotonic() - ended
    except AssertionError as error:
        held.trouble = str(error)
    entries = court.ledger.entries[first:]
    held.accepted = sum(entry.outcome == "accepted" for entry in entries)
    held.unanswered = sum(entry.outcome == "unknown" for entry in entries)
    held.refused = _refused_by_mistake(entries)
    held.ended = dict(_ask(court, _CONVICTED, since))
    held.dead_letters = count_dead_letters(court) - letters
    return held


def _endure(court: Court, fault: Shared, seconds: float, held: Held) -> float:
    """When the fault ended, by the monotonic clock."""
    scene = court.scene
    with ExitStack() as stack:
        stack.enter_context(Stranger(scene.bootstrap_servers, scene.provider.address, court.ledger))
        load = scene.load(RATE, seed=len(court.ledger.entries), ledger=court.ledger)
        load.padding = PADDING
        stack.enter_context(load)
        _await_progress(court)
        began = monotonic()
        with fault.begin(court):
            watch(scene, began + seconds)
        ended = monotonic()
        held.lasted = ended - began
        _await_progress(court)
    return ended


def _await_progress(court: Court) -> None:
    """Until what is accepted from now on arrives."""
    now, scene = monotonic(), court.scene
    sent, arrived = len(court.ledger.entries), len(scene.provider.arrivals)

    def goes_on() -> bool:
        scene.fleet.revive()
        numbers = {one.number for one in court.ledger.entries[sent:] if one.sent > now and one.outcome == "accepted"}
        return any(arrival.number in numbers for arrival in scene.provider.arrivals[arrived:])

    eventually(goes_on, BACK, what="one more is accepted, and arrives")


def _is_over(court: Court) -> bool:
    court.scene.fleet.revive()
    ((unfinished,),) = _ask(court, _UNFINISHED)
    assert not unfinished, f"{unfinished} messages are not over"
    return True


def _refused_by_mistake(entries: list[Entry]) -> dict[str, int]:
    found: dict[str, int] = {}
    for entry in entries:
        if entry.is_good and entry.outcome == "refused":
            answered = f"good requests answered {entry.status}"
            found[answered] = found.get(answered, 0) + 1
    return found


def count_dead_letters(court: Court) -> int:
    """Records on the topic so far."""
    ends = read_end_offsets(court.admin, partitions_of(court.admin.list_topics(timeout=ANSWER), [DEAD_LETTERS]))
    return sum(end for partitions in ends.values() for end in partitions.values())


def _ask(court: Court, query: str, *values: object) -> list[tuple[Any, ...]]:
    with connected(court.server.url(DATABASE)) as connection:
        return fetch(connection, query, *values)


def judge(court: Court) -> Verdict:
    """The oracle's word over all of it, once everything is over."""
    database = court.server.url(DATABASE)
    name_adopted(court.ledger, database)
    return oracle.judge(oracle.gather(court.ledger, court.scene.provider.arrivals, database, None))


def describe(found: list[Held], verdict: Verdict) -> str:
    """For the page."""
    rows = [
        "| fault | lasted | accepted | not answered | **convicted** | all sent after |",
        "|---|---|---|---|---|---|",
    ]
    for held in found:
        cells = (
            held.fault,
            f"{held.lasted:.0f} s",
            f"{held.accepted:,}",
            f"{held.unanswered:,}",
            f"{held.convicted}" + (f" ({held.in_words()})" if held.in_words() else ""),
            f"{held.over_after:.1f} s",
        )
        rows.append(f"| {' | '.join(cells)} |")
    head = (
        f"{machine().replace('fsync on', 'fsync off')}, {RATE:g} requests per second, and records of another producer."
    )
    return paragraphs([head, "\n".join(rows), verdict.in_words()])
