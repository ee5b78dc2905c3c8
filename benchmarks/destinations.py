"""What a dead destination costs a live one: messages to both, mixed, beside as many to the live one alone."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from threading import Event
from time import monotonic
from typing import Any

import httpx2

from benchmarks.figures import Contest, Figure, Result, Target, percentile
from benchmarks.relay import TOPICS
from benchmarks.run import Run
from benchmarks.stage import Stage
from tests.proof.end_to_end.destinations import WEBHOOKS, letter, policies
from tests.servers.eventually import eventually
from tests.servers.http_server import HttpServer

RATE = 100  # pairs per second
CALLERS = 16
TARGET = Target(most=2.0)
TIMEOUT = 2.0  # seconds of one delivery
MOST_ATTEMPTS = 100  # on the dead one, of so many messages that are tried for a day
SETTLE = 60.0  # seconds until every live one must be sent
LIVE = "SELECT extract(epoch FROM sent_at - accepted_at)::float * 1000 FROM messages WHERE key LIKE 'live-%'"
UNSENT = "SELECT count(*) FROM messages WHERE key LIKE 'live-%' AND status <> 'sent'"
ATTEMPTS = "SELECT coalesce(sum(attempts - uncounted), 0) FROM messages WHERE key LIKE 'dead-%'"


def measure(run: Run) -> list[Result]:
    """Accepted → sent of the live ones, and attempts on the dead one."""
    pairs = int(run.pick(100, 500, 1_000))
    results: list[Result] = []
    for kind, dead in (("refuses", refusing), ("hangs", hanging)):
        name = f"{pairs:,} webhooks, accepted → sent, beside as many to one that {kind}, p99, ms"
        slowdown = Contest(name, "without those", TARGET)
        attempts = Figure(f"attempts on the one that {kind}, for {pairs:,} messages", Target(most=MOST_ATTEMPTS))
        for _ in range(run.rounds):
            quiet, _ = _run(run.stage, pairs, None)
            with dead() as address:
                disturbed, tried = _run(run.stage, pairs, address)
            slowdown.add(percentile(disturbed, 99), percentile(quiet, 99))
            attempts.add(tried)
        results += [slowdown, attempts]
    return results


def _run(stage: Stage, pairs: int, dead: str | None) -> tuple[list[float], int]:
    stage.make_topics(*TOPICS)
    database = stage.database()
    settings = stage.settings(database, **WEBHOOKS, **policies(webhook={"timeout": TIMEOUT}))
    with (
        HttpServer() as live,
        stage.api(settings) as port,
        stage.herald("relay", settings),
        stage.herald("pipeline", settings),
    ):
        url = f"http://127.0.0.1:{port}/notifications/bulk"
        post(url, [letter("live-0", "webhook", live.url())] * 20, rate=10)  # the group is joined, everything is warm
        eventually(lambda: stage.fetch(database, UNSENT) == [(0,)], SETTLE, what="all is sent")
        warm = len(stage.fetch(database, LIVE))
        post(
            url, [letter(f"live-{number % 20}", "webhook", live.url()) for number in range(pairs)], rate=RATE, dead=dead
        )
        eventually(lambda: stage.fetch(database, UNSENT) == [(0,)], SETTLE, what="all is sent")
        delays = [delay for (delay,) in stage.fetch(database, f"{LIVE} ORDER BY id")][warm:]
        ((attempts,),) = stage.fetch(database, ATTEMPTS)
    stage.drop(database)
    return delays, int(attempts)


def post(url: str, live: list[dict[str, Any]], *, rate: float, dead: str | None = None) -> None:
    """Each at its time; with a dead address, one to it goes along in the same request."""
    began, pause = monotonic(), Event()
    with httpx2.Client(timeout=30.0) as client, ThreadPoolExecutor(CALLERS) as callers:

        def call(number: int) -> None:
            pause.wait(max(0.0, began + number / rate - monotonic()))
            others = [letter(f"dead-{number % 20}", "webhook", dead)] if dead else []
            client.post(url, json={"items": [live[number], *others]}).raise_for_status()

        list(callers.map(call, range(len(live))))


@contextmanager
def refusing() -> Iterator[str]:
    """Nobody listens."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    yield f"http://127.0.0.1:{port}/"


@contextmanager
def hanging() -> Iterator[str]:
    """Takes every request and never answers."""
    with HttpServer() as server:
        yield server.url("/hang")
