"""The relay drains a backlog; its rival is a producer that has the same records in memory."""

from collections.abc import Iterable, Iterator
from contextlib import closing

from confluent_kafka import Consumer, TopicPartition

from benchmarks.figures import Contest, Result, Target
from benchmarks.machine import watched
from benchmarks.run import Run
from benchmarks.stage import ANSWER_TIMEOUT, PARTITIONS, Stage
from benchmarks.waiting import until_slowly

TOPICS = ("notifications", "generic_topic", "dead_letters")
RAW_TOPIC = "raw"
DRAIN_TIMEOUT = 300.0  # seconds
LAST = "SELECT transaction_id::text FROM outbox WHERE topic IS NOT NULL ORDER BY position DESC LIMIT 1"
PASSED = "SELECT EXISTS (SELECT FROM relay_cursor WHERE pg_snapshot_xmin(previous) > %(last)s::text::xid8)"
# The relay begins before the transaction that wrote the row so many places before the last one.
REWIND = """
UPDATE relay_cursor SET target = NULL, last_position = 0, previous = (
    SELECT format('%%s:%%s:', transaction_id, transaction_id)::pg_snapshot FROM outbox
    WHERE topic IS NOT NULL ORDER BY position DESC OFFSET %(count)s - 1 LIMIT 1)
RETURNING name
"""


def measure(run: Run) -> list[Result]:
    """Records per second that Kafka took, without the time a process takes to start."""
    stage, wanted = run.stage, int(run.pick(run.rows / 5, min(run.rows / 2, 200_000)))
    contest = Contest(f"relay: drain of {wanted:,} rows of 1 kB, records/s", "raw producer", Target(least=0.45))
    for _ in range(run.rounds):
        stage.fetch(run.whole, REWIND, {"count": wanted})
        with watched() as span:
            herald = drain(stage, run.whole)
        stage.make_topics(RAW_TOPIC)
        arguments = {"source": TOPICS[0], "target": RAW_TOPIC, "count": stage.count_records(TOPICS[0])}
        raw = stage.measure("benchmarks.raw_producer", stage.settings(run.whole), **arguments)
        contest.add(herald, raw["rate"], (span.idle, raw["idle"]))
    return [contest]


def drain(stage: Stage, database: str) -> float:
    """Publish what lies behind the cursor; returns records per second, by their own dates.

    Not every row becomes a record: of a flood, what is over by now does not.
    """
    stage.make_topics(*TOPICS)
    stage.server.execute("CHECKPOINT")
    [(last,)] = stage.fetch(database, LAST)
    with stage.herald("relay", stage.settings(database)) as relay:
        until_slowly(
            lambda: stage.fetch(database, PASSED, {"last": last}) == [(True,)], relay, DRAIN_TIMEOUT, what="all is read"
        )
        relay.stop()
    return seen(stage) / span_of(stage, TOPICS)


def seen(stage: Stage) -> int:
    """Records of all topics."""
    return sum(map(stage.count_records, TOPICS))


def span_of(stage: Stage, topics: Iterable[str]) -> float:
    """Seconds between the first record of these topics and the last, by the records' own dates."""
    dates = list(_dates(stage, topics))
    return max(dates) - min(dates)


def _dates(stage: Stage, topics: Iterable[str]) -> Iterator[float]:
    """Of the first and the last record of each partition, in seconds."""
    settings = {"bootstrap.servers": stage.bootstrap_servers, "group.id": "dates", "log_level": 2}
    with closing(Consumer(settings)) as reader:
        for place in (TopicPartition(topic, number) for topic in topics for number in range(PARTITIONS)):
            first, end = reader.get_watermark_offsets(place, timeout=ANSWER_TIMEOUT)
            for offset in {first, end - 1} if end > first else ():
                reader.assign([TopicPartition(place.topic, place.partition, offset)])
                record = reader.poll(ANSWER_TIMEOUT)
                assert record is not None
                yield record.timestamp()[1] / 1000
