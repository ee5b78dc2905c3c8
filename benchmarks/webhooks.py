"""Webhooks to 50 hosts that answer after 5 ms, or after a second; beside PgQueuer with aiohttp and bare aiohttp."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import cycle, islice

import msgspec

from benchmarks.environments import EnvironmentMissingError
from benchmarks.figures import Missing, Result, Target
from benchmarks.letters import letters
from benchmarks.pipeline import HERALD, NEWEST, drain, publish
from benchmarks.rivals.running import JOB_QUEUE, Rival, Turns, receiver
from benchmarks.run import Run
from herald.outbox.message.notification import TOPIC
from herald.outbox.moves.accept import accept, make_acceptance
from tests.proof.end_to_end.destinations import WEBHOOKS
from tests.servers.postgres import connect_to_tables

HOSTS = 50
BATCH = 500  # messages of one transaction
WINDOW = 250
SETTINGS = {**WEBHOOKS, "HERALD_DESTINATION_CONCURRENCY": "20"}
ANSWERS = {0.005: "5 ms", 1.0: "1 s"}


def measure(run: Run) -> list[Result]:
    """Messages per second from the first claim to the last outcome; the rivals count from their first call on."""
    return [result for seconds in ANSWERS for result in _measured(run, seconds)]


def _measured(run: Run, seconds: float) -> Iterator[Result]:
    count = int(run.pick(1_000, 5_000))
    queue = Rival("PgQueuer with aiohttp", "job_queue", JOB_QUEUE, target=Target(least=1.0))
    bare = Rival("bare aiohttp", "bare_posts", JOB_QUEUE, target=Target(least=0.5))
    turns = Turns(f"webhooks to {HOSTS} hosts, answers after {ANSWERS[seconds]}, messages/s", [queue, bare])
    try:
        with receiver(run, seconds) as port:
            addresses = [f"http://127.0.1.{host}:{port}/" for host in range(1, HOSTS + 1)]
            for _ in range(run.rounds):
                turns.add(run, _of_herald(run, count, addresses), count, *addresses)
    except EnvironmentMissingError as error:
        yield Missing(turns.name, str(error))
        return
    yield from turns.results()


def _of_herald(run: Run, count: int, addresses: Sequence[str]) -> tuple[float, float]:
    [(first,)] = run.stage.fetch(run.whole, NEWEST)
    _fill(run.stage.server.url(run.whole), count, addresses)
    publish(run.stage, run.whole, count)
    return drain(run.stage, run.whole, HERALD, WINDOW, first=first, **SETTINGS)


def _fill(url: str, count: int, addresses: Sequence[str]) -> None:
    waiting = zip(letters(count, seed=4), cycle(addresses), strict=False)
    with closing(connect_to_tables(url)) as connection:
        while batch := list(islice(waiting, BATCH)):
            accept(connection, [make_acceptance(TOPIC, user, _to(data, address)) for (user, data), address in batch])
            connection.commit()


def _to(data: bytes, address: str) -> bytes:
    return msgspec.json.encode({**msgspec.json.decode(data), "channel": "webhook", "address": address})
