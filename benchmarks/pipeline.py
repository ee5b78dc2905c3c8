"""The pipeline drains a topic; its rival is a bare consumer loop that writes the same ledger."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple
from uuid import uuid4

from benchmarks.figures import Contest, Result, Target
from benchmarks.letters import fill
from benchmarks.machine import watched
from benchmarks.relay import TOPICS
from benchmarks.rivals.running import JOB_QUEUE, OUTBOX_TABLE, SEED, Rival, Turns
from benchmarks.run import Run
from benchmarks.stage import Stage
from benchmarks.waiting import until_slowly

DEFAULT = 25
WINDOWS = {DEFAULT: 0.5, 250: 0.7}  # messages: the least acceptable ratio
SILENT = ("benchmarks.silent_pipeline",)
HERALD = ("herald.outbox.cli", "pipeline")
BARE_LOOP = ("benchmarks.bare_loop",)
DRAIN_TIMEOUT = 600.0  # seconds
NEWEST = "SELECT coalesce((SELECT id::text FROM messages ORDER BY id DESC LIMIT 1), gen_random_uuid()::text)"
OLDEST = "00000000-0000-0000-0000-000000000000"
UNFINISHED = "SELECT EXISTS (SELECT FROM messages WHERE id > %(first)s AND status IN ('pending', 'sending'))"
# from the first attempt to the last outcome, by the database's clock: no process start is in it
RATE = """
SELECT count(*) FILTER (WHERE type = 'message.sent')
       / extract(epoch FROM max(recorded_at) - min(recorded_at))::float
FROM outbox WHERE stream_id > %(first)s AND type IN ('message.started', 'message.sent')
"""


class Drained(NamedTuple):
    """Messages per second, and percent of the machine's time that was left."""

    rate: float
    idle: float


def measure(run: Run) -> list[Result]:
    """Messages per second that were claimed, delivered without output and recorded as sent."""
    return [*(_contest(run, window, least) for window, least in WINDOWS.items()), *_beside_others(run)]


def _beside_others(run: Run) -> Iterator[Result]:
    """With defaults, beside what is used instead; each of them drains as much as takes it some seconds."""
    name, small, large = "pipeline: defaults, messages/s", int(run.pick(1_000, 5_000)), int(run.pick(1_000, 20_000))
    slow = [
        Rival("seed's consumer", "seed_consumer", SEED, target=Target(least=20.0)),
        Rival("faststream-outbox", "outbox_table", OUTBOX_TABLE),
    ]
    quick = [
        Rival("faststream-outbox tuned", "outbox_table", OUTBOX_TABLE, ("--tuned",)),
        Rival("PgQueuer, jobs that do nothing", "job_queue", JOB_QUEUE),
    ]
    for count, rivals in ((small, slow), (large, quick)):
        turns = Turns(name, rivals)
        for _ in range(run.rounds):
            turns.add(run, _drain_new(run, SILENT, DEFAULT), count)
        yield from turns.results()


def _contest(run: Run, window: int, least: float) -> Contest:
    contest = Contest(f"pipeline: windows of {window}, messages/s", "bare consumer loop", Target(least=least))
    for _ in range(run.rounds):
        herald, rival = (_drain_new(run, module, window) for module in (SILENT, BARE_LOOP))
        contest.add(herald.rate, rival.rate, (herald.idle, rival.idle))
    return contest


def _drain_new(run: Run, module: Sequence[str], window: int) -> Drained:
    """Messages that were published for it alone, on topics that hold nothing else."""
    stage, count = run.stage, int(run.pick(5_000, 30_000, 200_000))
    [(first,)] = stage.fetch(run.whole, NEWEST)
    fill(stage.server.url(run.whole), count)
    publish(stage, run.whole, count)
    return drain(stage, run.whole, module, window, first=first)


def publish(stage: Stage, database: str, count: int) -> None:
    """Put what is pending onto the topic, none of it attempted."""
    stage.make_topics(*TOPICS)
    with stage.herald("relay", stage.settings(database)) as relay:
        until_slowly(lambda: stage.count_records(TOPICS[0]) >= count, relay, DRAIN_TIMEOUT, what="all is published")
        relay.stop()


def drain(
    stage: Stage, database: str, module: Sequence[str], window: int, *, first: str = OLDEST, **more: str
) -> Drained:
    """What became of the messages behind that id by a module with its arguments, as a group of its own."""
    group, asked = f"bench-{uuid4().hex}", {"first": first}
    settings = stage.settings(database, HERALD_GROUP=group, HERALD_WINDOW_SIZE=str(window), **more)
    with stage.module(module[0], settings, *module[1:]) as process, watched() as span:
        until_slowly(
            lambda: stage.fetch(database, UNFINISHED, asked) == [(False,)], process, DRAIN_TIMEOUT, what="all is sent"
        )
        process.kill()
    [(rate,)] = stage.fetch(database, RATE, asked)
    return Drained(float(rate), span.idle)
