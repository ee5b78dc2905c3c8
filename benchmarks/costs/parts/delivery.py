"""From POST to sent at 100 a second on the large log, and what PostgreSQL's processes work for it."""

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.costs.bench import Bench, Measure, Reading
from benchmarks.costs.machine import watched
from benchmarks.costs.parts.throughput import drain_log
from benchmarks.figures import percentile
from benchmarks.latency import RATE, Flow
from benchmarks.relay import TOPICS


@contextmanager
def prepare(bench: Bench) -> Iterator[Measure]:
    database = bench.whole
    drain_log(bench, database)  # the relay stands at its end
    yield lambda: _measure(bench, database)


def _measure(bench: Bench, database: str) -> list[Reading]:
    stage = bench.stage
    stage.make_topics(*TOPICS)
    settings = stage.settings(database)
    with stage.api(settings) as port, stage.herald("relay", settings), stage.herald("pipeline", settings):
        flow = Flow(stage, database, settings, port)
        flow.post(seconds=1)  # the group is joined, everything is warm
        stage.server.execute("CHECKPOINT")
        used = stage.server.cpu_seconds()
        with watched() as span:
            load = flow.load(seconds=bench.sizes.seconds, warm_up=0)
            dates = flow.dates(load)
        used = stage.server.cpu_seconds() - used
    delays = [(sent - began) * 1000 for began, _, sent in dates]
    figures = {
        f"POST to sent at {RATE}/s, p50, ms": percentile(delays, 50),
        f"POST to sent at {RATE}/s, p99, ms": percentile(delays, 99),
        "PostgreSQL's CPU time per delivered message, ms": 1000 * used / len(delays),
    }
    return [Reading(figures, span.idle)]
