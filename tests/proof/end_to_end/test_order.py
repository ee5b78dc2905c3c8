"""The relay as a process, while writers overtake each other and one never ends."""

import random
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import combinations

import pytest

from herald.outbox.moves.accept import accept
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.notify import notify
from herald.outbox.postgres.statements import execute
from tests.conftest import on_both_brokers
from tests.outbox.connections import connected, notification
from tests.proof.end_to_end.system import STARTED, Herald
from tests.proof.end_to_end.topic import Reader, headers, reading
from tests.servers.eventually import eventually

USERS = "abc"
STEPS = 90
SEED = 11


class Writers:
    """Three connections; each message is noted with the steps at which it was written and answered."""

    def __init__(self, connections: list[Connection]) -> None:
        self._connections = connections
        self._open: dict[int, list[str]] = {number: [] for number in range(len(connections))}
        self._step = 0
        self.keys: dict[str, str] = {}
        self.written: dict[str, int] = {}
        self.answered: dict[str, int] = {}

    def write(self, number: int, user: str) -> None:
        """Without a commit."""
        acceptance = notification(user)
        accept(self._connections[number], [acceptance])
        message = str(acceptance.id)
        self._open[number].append(message)
        self.keys[message] = user
        self.written[message] = self._next()

    def commit(self, number: int) -> None:
        """And wake the relay, as the committer does."""
        self._connections[number].commit()
        notify(self._connections[number])
        self._connections[number].commit()
        step = self._next()
        self.answered.update(dict.fromkeys(self._open[number], step))
        self._open[number].clear()

    def in_order(self) -> Iterator[tuple[str, str]]:
        """Pairs of one key of which the second was requested after the first was answered."""
        for one, other in combinations(self.written, 2):
            if self.keys[one] == self.keys[other] and self.answered[one] < self.written[other]:
                yield one, other

    def _next(self) -> int:
        self._step += 1
        return self._step


@pytest.fixture
def reader(herald: Herald) -> Iterator[Reader]:
    herald.start("relay")
    herald.processes["relay"].wait_for("leading", STARTED)
    with reading(herald.settings["KAFKA_BOOTSTRAP_SERVERS"], "notifications") as reader:
        yield reader


@on_both_brokers
def test_writers_that_overtake_each_other_are_published_at_once_and_in_order(
    herald: Herald, reader: Reader, database: str
) -> None:
    draw = random.Random(SEED)  # noqa: S311 - a replayable plan
    with ExitStack() as stack:
        held = stack.enter_context(connected(database))
        begin_to_write(held)
        writers = Writers([stack.enter_context(connected(database)) for _ in range(3)])
        for _ in range(STEPS):
            if draw.random() < 0.6:
                writers.write(draw.randrange(3), draw.choice(USERS))
                continue
            writers.commit(draw.randrange(3))
            await_published(reader, writers)
        for number in range(3):
            writers.commit(number)
        await_published(reader, writers)

    published = [headers(record)["ce_subject"] for record in reader.read()]
    assert sorted(published) == sorted(writers.written)
    assert [pair for pair in writers.in_order() if published.index(pair[0]) > published.index(pair[1])] == []
    assert herald.assert_projection_equals_log() == len(published)


def begin_to_write(connection: Connection) -> None:
    """A write transaction that stays open: it holds the whole cluster's `xmin` back."""
    execute(connection, "SELECT pg_current_xact_id()")


def await_published(reader: Reader, writers: Writers) -> None:
    """Whatever is committed is on the topic, although others write with lower positions and ids."""
    eventually(lambda: len(reader.until(len(writers.answered))) == len(writers.answered), 5, what="it is published")
