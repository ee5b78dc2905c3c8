"""How much the API, the relay, the pipeline and a rebuild do in a second, by the code that measures their rivals."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from http.client import HTTPConnection
from itertools import islice

from benchmarks import api as of_api
from benchmarks import pipeline as of_pipeline
from benchmarks import rebuild as of_rebuild
from benchmarks import relay as of_relay
from benchmarks.costs.bench import TIMEOUT, Bench, Measure, Reading, request
from benchmarks.letters import letters
from benchmarks.machine import watched

CALLERS = 16  # connections that fill a database


@contextmanager
def api(bench: Bench) -> Iterator[Measure]:
    stage = bench.stage
    empty = stage.database()

    def measure() -> list[Reading]:
        database = stage.database(template=empty)
        with watched() as span:
            load = of_api.post(stage, stage.settings(database), bench.sizes.seconds)
        stage.drop(database)
        return [Reading({f"API at {of_api.CONNECTIONS} connections, requests/s": load["rate"]}, span.idle)]

    yield measure
    stage.drop(empty)


@contextmanager
def pipeline(bench: Bench) -> Iterator[Measure]:
    """Each round publishes anew: the topics are those of all sides."""
    stage, count = bench.stage, bench.sizes.drained
    filled = stage.database()
    _fill(bench, filled, count)

    def measure() -> list[Reading]:
        published = stage.database(template=filled)
        of_pipeline.publish(stage, published, count)
        readings = [_drained(bench, published, window) for window in of_pipeline.WINDOWS]
        stage.drop(published)
        return readings

    yield measure
    stage.drop(filled)


@contextmanager
def relay(bench: Bench) -> Iterator[Measure]:
    database = bench.whole

    def measure() -> list[Reading]:
        with watched() as span:
            rate = drain_log(bench, database)
        return [Reading({"relay, rows/s": rate}, span.idle)]

    yield measure


@contextmanager
def rebuild(bench: Bench) -> Iterator[Measure]:
    stage, database = bench.stage, bench.whole

    def measure() -> list[Reading]:
        settings = stage.settings(database)
        with watched() as span, stage.herald("rebuild", settings, "--json") as process:
            rebuilt = of_rebuild.await_result(process)
        assert of_rebuild.differences(rebuilt) == 0, rebuilt  # the log was loaded as Herald would have written it
        largest = max(rebuilt, key=lambda partition: int(partition["messages"]))
        return [Reading({"rebuild, rows/s": largest["messages"] / largest["seconds"]}, span.idle)]

    yield measure


def drain_log(bench: Bench, database: str) -> float:
    """Records per second from the beginning of a log to its end, where the relay then stands."""
    bench.stage.fetch(database, "TRUNCATE relay_cursor, relay_pages")  # it begins before everything there is
    return of_relay.drain(bench.stage, database)


def _drained(bench: Bench, published: str, window: int) -> Reading:
    stage = bench.stage
    database = stage.database(template=published)
    drained = of_pipeline.drain(stage, database, of_pipeline.SILENT, window)
    stage.drop(database)
    return Reading({f"pipeline in windows of {window}, messages/s": drained.rate}, drained.idle)


def _post_all(port: int, share: Sequence[tuple[str, bytes]]) -> None:
    with closing(HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)) as connection:
        for _, data in share:
            request(connection, "POST", "/notifications", data)


def _fill(bench: Bench, database: str, count: int) -> None:
    """By the API, so that whatever it does is done; nothing of it is published yet.

    One by one: what is asked for together waits in line where no pipeline claims it.
    """
    stage, waiting = bench.stage, letters(count)
    shares = [list(islice(waiting, -(-count // CALLERS))) for _ in range(CALLERS)]
    with stage.api(stage.settings(database)) as port, ThreadPoolExecutor(CALLERS) as callers:
        list(callers.map(partial(_post_all, port), shares))  # raises what one of them raises
    stage.server.execute("VACUUM (ANALYZE)", database)
