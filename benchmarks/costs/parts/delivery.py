"""From POST to sent at 100 a second on the large log, and what PostgreSQL's processes work for it."""

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.costs.bench import Bench, Measure, Reading
from benchmarks.costs.parts.throughput import drain_log
from benchmarks.figures import percentile
from benchmarks.flow import herald

RATE = 100  # notifications per second


@contextmanager
def prepare(bench: Bench) -> Iterator[Measure]:
    database = bench.whole
    drain_log(bench, database)  # the relay stands at its end
    yield lambda: _measure(bench, database)


def _measure(bench: Bench, database: str) -> list[Reading]:
    stage = bench.stage
    with herald(stage, database) as flow:
        stage.server.execute("CHECKPOINT")
        used = stage.server.cpu_seconds()
        course = flow.post(seconds=bench.sizes.seconds, rate=RATE, warm_up=0)
        used = stage.server.cpu_seconds() - used
    assert not course.unsent
    delays = course.milliseconds
    figures = {
        f"POST to sent at {RATE}/s, p50, ms": percentile(delays, 50),
        f"POST to sent at {RATE}/s, p99, ms": percentile(delays, 99),
        "PostgreSQL's CPU time per delivered message, ms": 1000 * used / len(delays),
    }
    return [Reading(figures, course.idle)]
