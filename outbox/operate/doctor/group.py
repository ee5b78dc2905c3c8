"""The pipeline's consumer group: somebody reads, in time, and its place is remembered."""

import time
from collections.abc import Iterator

from confluent_kafka import ConsumerGroupState

from herald.outbox.kafka.offsets import partitions_of, read_first_offsets, read_offsets_since
from herald.outbox.operate.doctor.finding import Checks, Finding, Look, note, ok, problem, warning
from herald.outbox.operate.doctor.kafka import OFFSETS, Kafka
from herald.outbox.operate.shown import count, duration
from herald.outbox.registry import DEAD_LETTERS, registered_topics

LATE = 0.8  # of the retention
WEEK = 604_800_000  # milliseconds, as Kafka keeps records by default
AWAY = 86_400_000  # milliseconds for which all pipelines may be away, at least
FORGOTTEN = 24 * 60  # minutes without a member until the group's place is forgotten
NOBODY = (ConsumerGroupState.EMPTY, ConsumerGroupState.DEAD)


def consumes(kafka: Kafka) -> Iterator[Finding]:
    """Members that share all partitions."""
    group = kafka.settings.group
    if not kafka.has_coordinator and OFFSETS not in kafka.metadata.topics:
        yield warning("no group has ever read from this Kafka: nothing is delivered", "herald pipeline")
    elif not kafka.has_coordinator:
        yield problem(
            f"{OFFSETS} has a partition without a leader: no pipeline can join or commit",
            "Start the broker that has it. With offsets.topic.replication.factor=3 one broker may be away.",
        )
    elif kafka.group.state in NOBODY:
        yield warning(f"no pipeline is in the group {group}: nothing is delivered", "herald pipeline")
    elif kafka.group.state != ConsumerGroupState.STABLE or not kafka.group.members:
        yield note(f"the group {group} is sharing out its partitions, or this broker does not tell")
    else:
        yield _assigned(kafka, f"{count(len(kafka.group.members), 'member')} in the group {group}")


def _assigned(kafka: Kafka, text: str) -> Finding:
    partitions = {(name, number) for name, places in kafka.ends.items() if name != DEAD_LETTERS for number in places}
    assigned = {
        (kafka.names.here(place.topic), str(place.partition))
        for member in kafka.group.members
        for place in (member.assignment.topic_partitions if member.assignment else [])
    }
    idle = len(kafka.group.members) - max((len(places) for places in kafka.ends.values()), default=0)
    if unread := sorted(partitions - assigned):
        shown = ", ".join(f"{topic} {number}" for topic, number in unread[:8])
        return warning(
            f"{text}, none of which reads {shown}",
            "Restart the pipelines, one after the other; a topic of an extension needs it beside each of them.",
        )
    if idle > 0:
        return note(f"{text}, {idle} of them idle: no topic has as many partitions")
    return ok(f"{text}, which read all {len(partitions)} partitions")


def in_time(kafka: Kafka) -> Iterator[Finding]:
    """What is unread must not grow older than the topic keeps it."""
    if OFFSETS in kafka.metadata.topics and not kafka.has_coordinator:
        yield note("not told: the group has no broker")
        return
    for name in (name for name in registered_topics() if name in kafka.ends):
        yield from _topic_in_time(kafka, name)


def _topic_in_time(kafka: Kafka, name: str) -> Iterator[Finding]:
    begins = read_first_offsets(kafka.admin, partitions_of(kafka.metadata, [name]))[name]
    committed = kafka.committed.get(name, {})
    removed = sum(max(0, begin - committed.get(number, begin)) for number, begin in begins.items())
    read = {number: max(begin, committed.get(number, begin)) for number, begin in begins.items()}
    unread = sum(max(0, end - read[number]) for number, end in kafka.ends[name].items())
    kept = int(kafka.configs[name].get("retention.ms", 0))
    text = f"{name}: {count(unread, 'record')} unread, kept {_shown(kept)}"
    old = _older_than(kafka, name, read, LATE * kept) if unread and kept > 0 else 0
    if removed:
        yield warning(
            f"{text}; {removed:,} were removed unread: Herald requests its own again, others are lost",
            kafka.set_topic(name, f"retention.ms={max(kept, WEEK) * 2}"),
        )
    if old:
        yield warning(
            f"{text}; {old:,} of them are older than {LATE:.0%} of that",
            f"More pipelines, or more time: {kafka.set_topic(name, f'retention.ms={kept * 2}')}",
        )
    if 0 < kept < AWAY:
        yield warning(
            f"{text}: where all pipelines are away for longer, what waits is removed unread; Herald requests its own"
            " again, others are lost",
            kafka.set_topic(name, f"retention.ms={WEEK}"),
        )
    elif not removed and not old:
        yield ok(text)


def _shown(milliseconds: int) -> str:
    if milliseconds < 0:
        return "without a limit"
    return f"for {duration(milliseconds / 1000)}" if milliseconds else "for as long as this broker does not tell"


def _older_than(kafka: Kafka, name: str, read: dict[str, int], milliseconds: float) -> int:
    """How many unread records are that old; no offset means that no record is younger."""
    timestamp = round(time.time() * 1000 - milliseconds)
    young = read_offsets_since(kafka.admin, partitions_of(kafka.metadata, [name]), timestamp)[name]
    ends = kafka.ends[name]
    return sum(max(0, (ends[number] if place < 0 else place) - read[number]) for number, place in young.items())


def remembered(kafka: Kafka) -> Look:
    """For how long the group's place outlives its last member."""
    minutes = int(kafka.of_broker("offsets.retention.minutes"))
    if minutes < FORGOTTEN:
        text = f"the group's place is forgotten {duration(minutes * 60)} after its last member left"
        advice = "Set offsets.retention.minutes=10080 on the brokers."
        yield warning(f"{text}: then everything that is kept is read again", advice)
    return f"the group's place is kept for {duration(minutes * 60)} after its last member left"


def admitted(kafka: Kafka) -> Look:
    """A session timeout that the brokers refuse keeps every pipeline out."""
    wanted = kafka.settings.session_timeout
    low, high = (int(kafka.of_broker(f"group.{end}.session.timeout.ms")) / 1000 for end in ("min", "max"))
    if not low <= wanted <= high:
        text = f"HERALD_SESSION_TIMEOUT is {wanted:g} s, the brokers allow {low:g} to {high:g}: no pipeline is let in"
        bound = f"at least {low:g}" if wanted < low else f"{high:g} at most"
        yield problem(text, f"Set HERALD_SESSION_TIMEOUT to {bound}")
    return f"HERALD_SESSION_TIMEOUT {wanted:g} s is within what the brokers allow"


def made_by_hand(kafka: Kafka) -> Look:
    """A broker that makes topics by itself makes them with its own number of partitions."""
    if kafka.of_broker("auto.create.topics.enable") == "true":
        partitions = kafka.broker_config.get("num.partitions", "its own number of")
        text = f"auto.create.topics.enable is on: whoever is first may make a topic, with {partitions} partition(s)"
        yield note(text, "Set auto.create.topics.enable=false on the brokers; the relay makes the topics.")
    return "topics are made by the relay only"


CHECKS: Checks[Kafka] = {
    "group": consumes,
    "retention": in_time,
    "offsets": remembered,
    "session timeout": admitted,
    "automatic topics": made_by_hand,
}
