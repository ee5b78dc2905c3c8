"""The pipeline drains a topic; its rival is a bare consumer loop that writes the same ledger."""

from collections.abc import Callable, Mapping
from uuid import uuid4

from benchmarks.figures import Contest, Result
from benchmarks.letters import fill
from benchmarks.relay import TOPICS
from benchmarks.stage import Stage, until
from tests.servers.child import Child

WINDOWS = {25: 0.5, 250: 0.7}  # messages: the least acceptable ratio
SILENT = "benchmarks.silent_pipeline"
DRAIN_TIMEOUT = 600.0  # seconds
UNFINISHED = "SELECT EXISTS (SELECT FROM messages WHERE status IN ('pending', 'sending'))"
PENDING = "SELECT EXISTS (SELECT FROM messages WHERE status = 'pending')"
# from the first attempt to the last outcome, by the database's clock: no process start is in it
RATE = """
SELECT count(*) FILTER (WHERE type = 'message.sent')
       / extract(epoch FROM max(recorded_at) - min(recorded_at))::float
FROM outbox WHERE type IN ('message.started', 'message.sent')
"""


def measure(stage: Stage, *, rounds: int, is_quick: bool) -> list[Result]:
    """Messages per second that were claimed, delivered without output and recorded as sent."""
    count = 5_000 if is_quick else 50_000
    published = stage.database()
    fill(stage.server.url(published), count)
    publish(stage, published, count)
    contests = [_contest(stage, published, window, target, rounds) for window, target in WINDOWS.items()]
    stage.drop(published)
    return list(contests)


def _contest(stage: Stage, published: str, window: int, target: float, rounds: int) -> Contest:
    contest = Contest(f"pipeline: windows of {window}", "messages/s", target, "bare consumer loop")
    for _ in range(rounds):
        herald = drain(stage, published, SILENT, {"HERALD_WINDOW_SIZE": str(window)})
        contest.add(herald, drain(stage, published, "benchmarks.bare_loop", {"HERALD_WINDOW_SIZE": str(window)}))
    return contest


def publish(stage: Stage, database: str, count: int) -> None:
    """Put all messages onto the topic, none of them attempted; every round gets a copy of the database."""
    stage.make_topics(*TOPICS)
    with stage.herald("relay", stage.settings(database)) as relay:
        until(lambda: stage.count_records(TOPICS[0]) >= count, relay, DRAIN_TIMEOUT, what="all is published")
        relay.stop()


def drain(
    stage: Stage,
    published: str,
    module: str | None,
    more: Mapping[str, str],
    at_end: Callable[[Child], None] = lambda _: None,
) -> float:
    """Messages per second of one of them, on a copy of what was published, as a group of its own.

    Without a module, of `herald pipeline`; `at_end` sees its process once all is sent.
    """
    database = stage.database(template=published)
    settings = stage.settings(database, HERALD_GROUP=f"bench-{uuid4().hex}", **more)
    with stage.module(module, settings) if module else stage.herald("pipeline", settings) as process:
        # an index answers the first question: it may be asked often
        until(lambda: _is_over(stage, database, PENDING), process, DRAIN_TIMEOUT, what="all is claimed")
        until(lambda: _is_over(stage, database, UNFINISHED), process, DRAIN_TIMEOUT, what="all is sent")
        at_end(process)
        process.kill()
    [(rate,)] = stage.fetch(database, RATE)
    stage.drop(database)
    return float(rate)


def _is_over(stage: Stage, database: str, question: str) -> bool:
    [(is_unfinished,)] = stage.fetch(database, question)
    return not is_unfinished
