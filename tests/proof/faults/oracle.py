"""The oracle: compares ledger, log, Kafka and provider once everything is over.

What it demands:

- Nothing is lost: what was accepted is in the log, in a final state, and at the provider.
- What is unknown is in the log or not; where it is, it is delivered like all else.
- What was refused is nowhere, nothing is there that nobody asked for, and nothing twice.
- Log and provider agree attempt by attempt: every call that arrived is an attempt of the log, made once and
  not given back; every attempt that the log calls sent arrived; every other one that arrived is called
  unknown or failed. So the calls beyond the one that the log calls sent are exactly those unknown or failed
  attempts that arrived, and what the log calls unknown beyond that never reached the provider.
- Kafka holds every event that the log publishes, and nothing else.
- The projection is the fold of the log.

And order, as it is promised (docs/decisions.md): of two messages of one key and topic, the second sent after
the answer to the first had come, the second's first record comes after the first's on Kafka, its first
attempt begins after it in the log (or in the same claim), and arrives after it at the provider. An attempt
that was given back untried is none. At the provider only those are judged whose first attempt arrived: where
a process was killed between claim and call, the first call that arrives is a later attempt, and
a message that failed holds up no other. Unknown requests may be overtaken, but may not overtake.

Where Kafka loses records (a topic is deleted; the embedded broker gives offsets twice when producers are killed)
`records` is None, and neither Kafka nor order is judged: what is requested again comes behind.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from tests.outbox.connections import assert_projection_equals_log, connected
from tests.proof.faults.evidence import Published, Story, read_stories, read_topics
from tests.proof.faults.ledger import Entry, Ledger
from tests.proof.faults.order import Judged, Place, judge_order
from tests.proof.faults.provider import Arrival

SHOWN = 5  # violations of one kind
OVER = frozenset({"sent"})


@dataclass
class Evidence:
    """All that is compared. `over` are the states in which a message may end."""

    entries: Sequence[Entry]
    stories: dict[str, Story]
    arrivals: Sequence[Arrival]
    records: Sequence[Published] | None
    over: frozenset[str] = OVER


@dataclass
class Verdict:
    """Counts for the report, and whatever is wrong."""

    figures: dict[str, int] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)

    def in_words(self) -> str:
        return "The oracle finds nothing wrong." if not self.violations else "WRONG: " + " · ".join(self.violations)

    def assert_clean(self) -> None:
        assert not self.violations, "\n".join(self.violations)


def gather(
    ledger: Ledger,
    arrivals: Sequence[Arrival],
    database: str,
    bootstrap_servers: str | None,
    *,
    but: Collection[str] = (),
) -> Evidence:
    """Read log and topics; raises AssertionError where the projection is not the fold of the log.

    All `but` these messages; where there are any, somebody else wrote, and log and projection are not compared.
    """
    with connected(database) as connection:
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        if not but:
            assert_projection_equals_log(connection)
        stories = read_stories(connection, but)
    return Evidence(
        list(ledger.entries),
        stories,
        [arrival for arrival in arrivals if arrival.id not in but],
        read_topics(bootstrap_servers) if bootstrap_servers else None,
    )


def judge(evidence: Evidence) -> Verdict:
    """Everything that the docstring of this module demands."""
    verdict = Verdict()
    for what, found in {
        "lost": _lost(evidence),
        "in the log and not asked for": _strangers(evidence),
        "not over": _unfinished(evidence),
        "log and provider disagree": _disagreements(evidence),
        "not on Kafka": _unpublished(evidence),
        "on Kafka and not in the log": _unknown_records(evidence),
    }.items():
        _report(verdict, what, list(found))
    verdict.figures |= _counts(evidence)
    _compare_repeats(verdict)
    for where, judged in _orders(evidence).items():
        verdict.figures[f"pairs judged {where}"] = judged.pairs
        _report(
            verdict, f"out of order {where}", [f"number {one} overtook {other}" for one, other in judged.overtaking]
        )
    return verdict


def _compare_repeats(verdict: Verdict) -> None:
    beyond, explained = (verdict.figures[name] for name in ("arrivals beyond the one called sent", "of those arrived"))
    if beyond != explained:
        verdict.violations.append(f"{beyond} repeated calls, and the log knows of {explained}")


def _report(verdict: Verdict, what: str, found: list[str]) -> None:
    verdict.figures[what] = len(found)
    if found:
        verdict.violations.append(f"{len(found)} {what}: {'; '.join(found[:SHOWN])}")


def _lost(evidence: Evidence) -> Iterator[str]:
    arrived = {arrival.id for arrival in evidence.arrivals}
    for entry in evidence.entries:
        if entry.outcome != "accepted":
            continue
        if entry.id not in evidence.stories:
            yield f"{entry.id} (number {entry.number}) is not in the log"
        elif entry.topic == "notifications" and evidence.stories[entry.id].status == "sent" and entry.id not in arrived:
            yield f"{entry.id} (number {entry.number}) never arrived"


def _strangers(evidence: Evidence) -> Iterator[str]:
    """In the log without a request, by a refused one, or by one request twice."""
    entries = {entry.number: entry for entry in evidence.entries}
    seen: set[int] = set()
    for story in evidence.stories.values():
        entry = None if story.number is None else entries.get(story.number)
        if entry is None or entry.outcome == "refused":
            yield f"{story.id} (number {story.number}, {entry.outcome if entry else 'never sent'})"
        elif entry.number in seen or entry.id not in {None, story.id}:
            yield f"{story.id} is number {entry.number} once more"
        else:
            seen.add(entry.number)


def _unfinished(evidence: Evidence) -> Iterator[str]:
    for story in evidence.stories.values():
        has_sent = sum("sent" in said for said in story.said.values())
        if story.status not in evidence.over or has_sent != (story.status == "sent"):
            yield f"{story.id} is {story.status or 'in no state'}, sent {has_sent} times"


def _disagreements(evidence: Evidence) -> Iterator[str]:
    made = Counter((arrival.id, arrival.attempt) for arrival in evidence.arrivals)
    for (message, attempt), times in made.items():
        said = evidence.stories[message].said.get(attempt) if message in evidence.stories else None
        if times > 1:
            yield f"attempt {attempt} of {message} arrived {times} times"
        if said is None or not said & {"sent", "unknown", "failed", "dead_lettered"}:
            yield f"attempt {attempt} of {message} arrived, and the log says {said}"
    through_provider = {entry.number for entry in evidence.entries if entry.topic == "notifications"}
    for story in evidence.stories.values():
        for attempt, said in story.said.items():
            if not said:
                yield f"attempt {attempt} of {story.id} has no outcome"
            if said & {"sent", "late sent"} and story.number in through_provider and (story.id, attempt) not in made:
                yield f"attempt {attempt} of {story.id} is called {said} and never arrived"


def _unpublished(evidence: Evidence) -> Iterator[str]:
    if evidence.records is None:
        return
    there = {record.id for record in evidence.records}
    for story in evidence.stories.values():
        yield from sorted(story.published - there)


def _unknown_records(evidence: Evidence) -> Iterator[str]:
    published = {event for story in evidence.stories.values() for event in story.published}
    for record in evidence.records or ():
        if record.id not in published:
            yield f"{record.id} at {record.topic}[{record.partition}]@{record.offset}"


def _counts(evidence: Evidence) -> dict[str, int]:
    outcomes = Counter(entry.outcome for entry in evidence.entries)
    made = {(arrival.id, arrival.attempt) for arrival in evidence.arrivals}
    said = {(story.id, attempt): said for story in evidence.stories.values() for attempt, said in story.said.items()}
    sent = {attempt for attempt, found in said.items() if "sent" in found}
    unknown = {attempt for attempt, found in said.items() if found & {"unknown", "failed"}} - sent
    numbers = {entry.number for entry in evidence.entries if entry.outcome == "unknown"}
    records = evidence.records or ()
    return {
        **{outcome: outcomes[outcome] for outcome in ("accepted", "refused", "unknown")},
        "unknown and in the log": sum(story.number in numbers for story in evidence.stories.values()),
        "messages": len(evidence.stories),
        "attempts": sum(len(story.said) for story in evidence.stories.values()),
        "attempts called unknown or failed": len(unknown),
        "of those arrived": len(unknown & made),
        "arrivals": len(evidence.arrivals),
        "arrivals beyond the one called sent": len(evidence.arrivals) - len(sent & made),
        "records on Kafka": len(records),
        "records repeated on Kafka": len(records) - len({record.id for record in records}),
    }


def _orders(evidence: Evidence) -> dict[str, Judged]:
    if evidence.records is None:
        return {}
    offsets: dict[str, int] = {}
    for record in evidence.records:
        stream, _, version = record.id.rpartition(".")
        if version == "1":
            offsets[stream] = min(record.offset, offsets.get(stream, record.offset))
    made = {(arrival.id, arrival.attempt): arrival.at for arrival in evidence.arrivals}
    entries = {entry.number: entry for entry in evidence.entries}
    on_kafka, in_log, at_provider = [], [], []
    for story in evidence.stories.values():
        entry, first = entries.get(-1 if story.number is None else story.number), story.first_attempt
        if entry is None or entry.outcome == "refused":
            continue
        key = f"{entry.topic} {entry.key}"
        if story.id in offsets:
            on_kafka.append(Place(key, entry.sent, entry.answered, offsets[story.id], entry.number))
        if first is not None and first in story.started:
            in_log.append(Place(key, entry.sent, entry.answered, story.started[first], entry.number))
        if first is not None and (story.id, first) in made:
            at_provider.append(Place(key, entry.sent, entry.answered, made[story.id, first], entry.number))
    found = {"on Kafka": on_kafka, "in the log": in_log, "at the provider": at_provider}
    return {where: judge_order(places) for where, places in found.items()}
