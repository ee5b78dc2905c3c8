"""How long the API takes for a list of 50 and for the page behind it, on the large log."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from statistics import median
from time import perf_counter
from typing import Any
from urllib.parse import quote

from benchmarks.costs.bench import TIMEOUT, Bench, Measure, Reading, request
from benchmarks.machine import watched

LIST = "/notifications?limit=50"
PAGES = ("list of 50", "its page 2")


@contextmanager
def prepare(bench: Bench) -> Iterator[Measure]:
    database = bench.whole
    yield lambda: _measure(bench, database)


def _measure(bench: Bench, database: str) -> list[Reading]:
    stage = bench.stage
    seconds: dict[str, list[float]] = {page: [] for page in PAGES}
    with (
        stage.api(stage.settings(database)) as port,
        closing(HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)) as api,
        watched() as span,
    ):
        for _ in range(bench.sizes.pages):
            first = _timed(api, LIST, seconds["list of 50"])
            _timed(api, f"{LIST}&cursor={quote(first['cursor'])}", seconds["its page 2"])
    return [Reading({f"{page}, ms": 1000 * median(taken) for page, taken in seconds.items()}, span.idle)]


def _timed(api: HTTPConnection, path: str, taken: list[float]) -> Any:
    began = perf_counter()
    answer = request(api, "GET", path)
    taken.append(perf_counter() - began)
    return answer
