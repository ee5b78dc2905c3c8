"""The relay drains a backlog; its rival is a producer that has the same records in memory."""

from time import monotonic

from benchmarks.figures import Contest, Result
from benchmarks.letters import fill
from benchmarks.stage import Stage, until

TOPICS = ("notifications", "generic_topic", "dead_letters")
RAW_TOPIC = "raw"
DRAIN_TIMEOUT = 300.0  # seconds


def measure(stage: Stage, *, rounds: int, is_quick: bool) -> list[Result]:
    """Records per second that Kafka acknowledged, without the time a process takes to start."""
    count = 20_000 if is_quick else 200_000
    contest = Contest(f"relay: drain of {count:,} rows of 1 kB", "records/s", 0.45, "raw producer")
    database = stage.database()
    fill(stage.server.url(database), count)
    for _ in range(rounds):
        herald = drain(stage, database, count)
        stage.make_topics(RAW_TOPIC)
        arguments = {"source": TOPICS[0], "target": RAW_TOPIC, "count": count}
        raw = stage.measure("benchmarks.raw_producer", stage.settings(database), **arguments)
        contest.add(herald, raw["rate"])
    stage.drop(database)
    return [contest]


def drain(stage: Stage, database: str, count: int) -> float:
    """Publish all that the log has, `count` records, from its beginning; returns records per second."""
    stage.make_topics(*TOPICS)
    stage.fetch(database, "TRUNCATE relay_cursor, relay_pages")  # it begins before everything there is
    stage.server.execute("CHECKPOINT")
    with stage.herald("relay", stage.settings(database)) as relay:
        until(lambda: _seen(stage), relay, DRAIN_TIMEOUT, what="the relay publishes")
        began, first = monotonic(), _seen(stage)
        until(lambda: _seen(stage) >= count, relay, DRAIN_TIMEOUT, what="all is published")
        rate = (count - first) / (monotonic() - began)
        relay.stop()
    return rate


def _seen(stage: Stage) -> int:
    return stage.count_records(TOPICS[0])
