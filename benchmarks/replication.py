"""The relay beside Debezium Server, which reads the WAL: a drain, and from COMMIT to consumed."""

from collections.abc import Iterator
from pathlib import Path

from benchmarks.environments import EnvironmentMissingError
from benchmarks.figures import Contest, Missing, Result, Target, percentile
from benchmarks.machine import watched
from benchmarks.relay import DRAIN_TIMEOUT, REWIND, TOPICS, drain, span_of
from benchmarks.rivals.debezium import (
    FILL,
    LATENCY,
    THROUGHPUT,
    VERSION,
    debezium,
    fetched,
    java,
    logical,
    outbox_table,
)
from benchmarks.run import Run
from benchmarks.stage import Stage
from benchmarks.waiting import until_slowly
from tests.servers.child import Child

NAME = f"Debezium Server {VERSION}"
COLD, WARM, PACED = "debezium_cold", "debezium_warm", "debezium_paced"
RATE = 1_000  # commits per second
SETTINGS = {"cold": Target(least=6.0), "warm": Target(least=3.0)}
FASTER = Target(most=0.5)
Drain = tuple[float, float]  # records per second, and the idle CPU
Delays = tuple[list[float], float]  # milliseconds, and the idle CPU


def measure(run: Run) -> list[Result]:
    """Both on the same server, which writes what logical replication needs."""
    try:
        home = fetched(run.cache)
        java()
    except EnvironmentMissingError as error:
        return [Missing(f"relay, beside {NAME}", str(error))]
    with logical(run.stage.server):
        return [*_drains(run, home), *_commits(run, home)]


def _drains(run: Run, home: Path) -> Iterator[Result]:
    wanted = int(run.pick(run.rows / 5, min(run.rows / 2, 100_000)))
    name = f"relay: drain of {wanted:,} rows of 1 kB, records/s"
    contests = [Contest(name, f"{NAME}, tuned, {state}", target) for state, target in SETTINGS.items()]
    for _ in range(run.rounds):
        run.stage.fetch(run.whole, REWIND, {"count": wanted})
        with watched() as span:
            herald = drain(run.stage, run.whole)
        for contest, (rate, idle) in zip(contests, _drains_of_debezium(run.stage, home, wanted), strict=True):
            contest.add(herald, rate, (span.idle, idle))
    yield from contests


def _drains_of_debezium(stage: Stage, home: Path, count: int) -> list[Drain]:
    """What had waited for its start, and as much again."""
    stage.make_topics(COLD, WARM)
    with outbox_table(stage) as database:
        stage.fetch(database, FILL, {"topic": COLD, "count": count})
        with debezium(stage, database, home, THROUGHPUT) as server:
            cold = _drained(stage, server, COLD, count)
            stage.fetch(database, FILL, {"topic": WARM, "count": count})
            return [cold, _drained(stage, server, WARM, count)]


def _drained(stage: Stage, server: Child, topic: str, count: int) -> Drain:
    with watched() as span:
        until_slowly(lambda: stage.count_records(topic) >= count, server, DRAIN_TIMEOUT, what="all is published")
    return count / span_of(stage, [topic]), span.idle


def _commits(run: Run, home: Path) -> Iterator[Result]:
    name, rival = f"COMMIT → consumed at {RATE:,}/s", f"{NAME}, tuned for latency"
    contests = {share: Contest(f"{name}, p{share}, ms", rival, FASTER) for share in (50, 99)}
    with run.copy() as database:  # what is committed there stays pending
        for _ in range(run.rounds):
            ours, theirs = _commits_of_herald(run, database), _commits_of_debezium(run, home)
            for share, contest in contests.items():
                contest.add(percentile(ours[0], share), percentile(theirs[0], share), (ours[1], theirs[1]))
    yield from contests.values()


def _commits_of_herald(run: Run, database: str) -> Delays:
    """The relay alone: nobody claims them."""
    run.stage.make_topics(*TOPICS)
    with run.stage.herald("relay", run.stage.settings(database)) as relay:
        relay.wait_for("leading")
        return _committed(run, database, "herald", TOPICS[0])


def _commits_of_debezium(run: Run, home: Path) -> Delays:
    run.stage.make_topics(PACED)
    with outbox_table(run.stage) as database, debezium(run.stage, database, home, LATENCY) as server:
        run.stage.fetch(database, FILL, {"topic": PACED, "count": RATE})  # everything is warm
        until_slowly(lambda: run.stage.count_records(PACED) >= RATE, server, DRAIN_TIMEOUT, what="it is warm")
        return _committed(run, database, "debezium", PACED)


def _committed(run: Run, database: str, kind: str, topic: str) -> Delays:
    arguments = {"kind": kind, "topic": topic, "rate": RATE, "seconds": run.pick(3, 10, 60)}
    found = run.stage.measure("benchmarks.commits", run.stage.settings(database), **arguments)
    assert not found["missing"], f"{found['missing']} records have not come"
    return found["milliseconds"], found["idle"]
