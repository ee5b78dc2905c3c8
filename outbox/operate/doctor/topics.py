"""The topics: there, in this cluster, copied, and kept."""

from collections.abc import Iterator

from confluent_kafka.admin import TopicDescription

from herald.outbox.kafka.topics import names
from herald.outbox.operate.doctor.finding import Checks, Finding, Look, note, ok, problem, warning
from herald.outbox.operate.doctor.kafka import Kafka
from herald.outbox.operate.shown import count, duration, size

PRODUCED = 1_000_000  # bytes; the producer itself refuses more
FOREVER = 2**63 - 1  # ms: how far ahead a date may be before Kafka 4 (KIP-1030)
COPIES = 3  # of each record, where a broker may be lost


def _reached(kafka: Kafka) -> Iterator[Finding]:
    brokers = kafka.metadata.brokers.values()
    where = ", ".join(f"{broker.host}:{broker.port}" for broker in brokers)
    yield ok(f"{count(len(brokers), 'broker')}: {where}")


def _belongs(kafka: Kafka) -> Look:
    stored, found = kafka.stored and kafka.stored.cluster_id, kafka.cluster_id
    if stored is None:
        yield note(f"this cluster is {found}; no relay has led on it yet, or the database did not tell")
    elif stored != found:
        yield problem(
            f"the cursor belongs to the Kafka cluster {stored}, this one is {found}: no relay will lead",
            "If this one replaces the other, stop every relay and run once: herald relay --rebase --moved",
        )
    return f"the cursor belongs to this Kafka cluster, {found}"


def _owned(kafka: Kafka) -> Look:
    if kafka.owner is None:
        yield note("no Herald has claimed these topics: a relay does when it leads, if it may")
    elif kafka.owner != kafka.settings.instance:
        yield problem(
            f"the topics belong to another Herald, {kafka.owner}: no relay and no pipeline of this one starts",
            f"Set HERALD_TOPIC_PREFIX, or, if that one is gone for good: herald relay --replace-owner {kafka.owner}",
        )
    return f"the topics are this Herald's, {kafka.owner}"


def exist(kafka: Kafka) -> Iterator[Finding]:
    """The registered topics, with as many partitions as the settings say, under the ids that the relay knows."""
    for name in names():
        yield from _topic(kafka, name) if name in kafka.topics else _missing(kafka, name)


def _missing(kafka: Kafka, name: str) -> Iterator[Finding]:
    brokers, copies = len(kafka.metadata.brokers), kafka.settings.replication_factor or 1
    if copies > brokers:
        text = f"{name} is missing, and cannot be made with {copies} copies on {count(brokers, 'broker')}"
        yield problem(text, f"Start more brokers, or set HERALD_REPLICATION_FACTOR={brokers}")
    else:
        yield warning(f"{name} is missing", "herald relay makes it; its log says why it did not")


def _topic(kafka: Kafka, name: str) -> Iterator[Finding]:
    topic, wanted = kafka.topics[name], kafka.settings.partitions
    known = kafka.stored.topic_ids.get(name) if kafka.stored else None
    if known not in {None, str(topic.topic_id)}:
        text = f"{name} was deleted and made anew: what was pending on it is not requested again yet"
        yield warning(text, "herald relay does so within 5 s, once one leads")
    text = f"{name}: {count(len(topic.partitions), 'partition')}"
    if len(topic.partitions) < wanted:
        yield warning(
            f"{text}, HERALD_PARTITIONS is {wanted}: at most {len(topic.partitions)} pipelines work on it",
            kafka.tool("kafka-topics.sh", f"--alter --topic {kafka.names.on_kafka(name)} --partitions {wanted}"),
        )
    else:
        yield ok(text)


def copied(kafka: Kafka) -> Iterator[Finding]:
    """Enough copies, all of them in step, and one to spare."""
    trouble = [finding for name, topic in kafka.topics.items() for finding in _copies(kafka, name, topic)]
    yield from trouble
    if trouble or not kafka.topics:
        return
    copies = min(_copies_of(topic) for topic in kafka.topics.values())
    if copies == 1:
        yield note("one broker, one copy: with its disk, what is queued is lost; Herald requests that again")
    else:
        yield ok(f"{copies} copies of each record, all in step")


def _copies_of(topic: TopicDescription) -> int:
    return min(len(partition.replicas) for partition in topic.partitions)


def _copies(kafka: Kafka, name: str, topic: TopicDescription) -> Iterator[Finding]:
    copies, brokers = _copies_of(topic), len(kafka.metadata.brokers)
    required = int(kafka.configs[name].get("min.insync.replicas", 1))
    in_step = min(len(partition.isr) for partition in topic.partitions)
    if any(partition.leader is None for partition in topic.partitions):
        yield problem(f"{name} has a partition without a leader", "Start the broker that has it, and see its log.")
    elif in_step < required:
        yield problem(
            f"{name} has {in_step} copies in step and min.insync.replicas={required}: Kafka refuses what is published",
            f"Start the broker that is away, or: {kafka.set_topic(name, f'min.insync.replicas={in_step}')}",
        )
    elif in_step < copies:
        text = f"{name} has {in_step} of {copies} copies in step"
        yield warning(text, "Start the broker that is away, and see its log.")
    if copies > 1 and required >= copies:
        text = f"{name} has {copies} copies and min.insync.replicas={required}: one broker away stops publishing"
        yield warning(text, kafka.set_topic(name, f"min.insync.replicas={copies - 1}"))
    said = kafka.settings.replication_factor or 1
    if copies < min(said, brokers) or copies == 1 < brokers:
        wanted = max(said, min(brokers, COPIES))
        yield warning(
            f"{name} has {count(copies, 'copy') if copies == 1 else f'{copies} copies'} on {brokers} brokers",
            f"Add copies with kafka-reassign-partitions.sh; for new topics set HERALD_REPLICATION_FACTOR={wanted}",
        )


def cleaned(kafka: Kafka) -> Look:
    """By age alone: compaction drops all but the last message of a key."""
    for name, config in kafka.told_configs.items():
        if "compact" in config.get("cleanup.policy", ""):
            text = f"{name} is compacted: of the messages of one key only the last remains"
            yield problem(text, kafka.set_topic(name, "cleanup.policy=delete"))
        if (limit := int(config.get("retention.bytes", -1))) >= 0:
            text = f"{name} keeps {size(limit)} per partition"
            yield note(
                f"{text}: a queue that is longer loses its beginning, which is requested again",
                kafka.set_topic(name, "retention.bytes=-1"),
            )
    return "old records leave by their age alone"


def sized(kafka: Kafka) -> Look:
    """A record that is too large becomes a dead letter: accepted, and never delivered."""
    for name, config in kafka.told_configs.items():
        if (limit := int(config.get("max.message.bytes", PRODUCED))) < PRODUCED:
            yield warning(
                f"{name} takes records of {limit:,} bytes, the producer sends {PRODUCED:,}: what is between is refused",
                f"{kafka.set_topic(name, f'max.message.bytes={PRODUCED + 100_000}')}; or set HERALD_MAX_BODY={limit}",
            )
    return f"records up to {PRODUCED:,} bytes"


def dated(kafka: Kafka) -> Iterator[Finding]:
    """By the broker's clock, not by that of the machine whose relay leads."""
    for name, config in kafka.told_configs.items():
        limit = int(config.get("message.timestamp.after.max.ms", FOREVER))
        if config.get("message.timestamp.type") == "CreateTime" and limit < FOREVER:
            yield note(
                f"{name} takes the date of the machine that writes: Kafka refuses a relay whose clock is more than"
                f" {duration(limit / 1000)} ahead",
                kafka.set_topic(name, "message.timestamp.type=LogAppendTime"),
            )
        else:
            yield ok(f"{name} takes records whatever date a relay's machine has")


CHECKS: Checks[Kafka] = {
    "brokers": _reached,
    "cursor's Kafka": _belongs,
    "owner": _owned,
    "topics": exist,
    "copies": copied,
    "cleanup": cleaned,
    "record size": sized,
    "dates": dated,
}
