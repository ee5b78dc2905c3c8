"""Services that take notifications at a port and note when each was sent, under one load generator.

Nothing is asked while it posts: what it measures is read from the database afterwards.
"""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from threading import Event
from time import monotonic
from typing import Any, NamedTuple
from uuid import uuid4

from benchmarks.bare_chain import TABLE
from benchmarks.relay import TOPICS
from benchmarks.stage import Stage
from benchmarks.waiting import ASK_EVERY, answers, until
from tests.servers.ports import free_port
from tests.servers.postgres import connect_to_tables

CONNECTIONS = 64
SETTLE = 60.0  # seconds until everything must be sent

WARM_UP = 3.0  # seconds at 50 a second, until the group is joined and everything is warm
GENTLE = 50.0
READY = 60.0  # seconds
SENT = """
SELECT id::text, extract(epoch FROM sent_at)::float8 FROM {table}
WHERE id = ANY (%(ids)s::uuid[]) AND sent_at IS NOT NULL
"""


class Course(NamedTuple):
    """When each was posted and sent, by id, in seconds since 1970; percent of the processors' time left meanwhile."""

    posted: dict[str, float]
    sent: dict[str, float]
    idle: float

    @property
    def milliseconds(self) -> list[float]:
        """From the start of each POST to sent."""
        return [(self.sent[one] - began) * 1000 for one, began in self.posted.items() if one in self.sent]

    @property
    def unsent(self) -> int:
        return len(self.posted) - len(self.sent)

    def lags(self) -> list[float]:
        """The longest of each second, in milliseconds."""
        first = min(self.posted.values())
        found: dict[int, float] = {}
        for one, began in self.posted.items():
            second = int(began - first)
            late = (self.sent[one] - began) * 1000 if one in self.sent else SETTLE * 1000
            found[second] = max(found.get(second, 0.0), late)
        return [found[second] for second in sorted(found)]


@dataclass(frozen=True)
class Flow:
    """All processes of a service, running; `table` has `id` and `sent_at`."""

    stage: Stage
    database: str
    port: int
    table: str = "messages"

    def post(self, *, seconds: float, rate: float, warm_up: float = 1.0) -> Course:
        """What was posted after the warm-up, once all of it is sent, or a minute later."""
        arguments = {"port": self.port, "connections": CONNECTIONS, "rate": rate, "warm-up": warm_up}
        load = self.stage.measure("benchmarks.load", self.stage.settings(self.database), **arguments, seconds=seconds)
        posted = dict(load["posted"])
        return Course(posted, self._sent(posted), load["idle"])

    def warm_up(self) -> None:
        course = self.post(seconds=WARM_UP, rate=GENTLE, warm_up=0.0)
        assert not course.unsent, f"{course.unsent} of the warm-up were not sent"

    def _sent(self, posted: dict[str, float]) -> dict[str, float]:
        deadline = monotonic() + SETTLE
        while len(found := self.look(posted)) < len(posted) and monotonic() < deadline:
            Event().wait(ASK_EVERY)
        return found

    def look(self, posted: dict[str, float]) -> dict[str, float]:
        """Which of these are sent, and when."""
        return dict(self.stage.fetch(self.database, SENT.format(table=self.table), {"ids": list(posted)}))


@contextmanager
def herald(stage: Stage, database: str, **settings: str) -> Iterator[Flow]:
    """API, relay and pipeline, warm."""
    stage.make_topics(*TOPICS)
    made = stage.settings(database, **settings)
    with stage.api(made) as port, stage.herald("relay", made), stage.herald("pipeline", made):
        flow = Flow(stage, database, port)
        flow.warm_up()
        yield flow


@contextmanager
def bare_chain(stage: Stage) -> Iterator[Flow]:
    """The rival, warm, in a database of its own."""
    topic, port, database = f"bare_chain_{uuid4().hex[:8]}", free_port(), f"bench_{uuid4().hex}"
    stage.server.execute(f"CREATE DATABASE {database}")
    stage.fetch(database, TABLE)
    stage.make_topics(topic)
    settings, place = stage.settings(database), f"--topic={topic}"
    with ExitStack() as stack:
        api = stack.enter_context(stage.module("benchmarks.bare_chain", settings, "api", place, f"--port={port}"))
        stack.enter_context(stage.module("benchmarks.bare_chain", settings, "consumer", place))
        until(lambda: answers(port), api, READY, what="the chain answers")
        flow = Flow(stage, database, port, table="bare_chain")
        flow.warm_up()
        yield flow
    stage.drop(database)
    stage.delete_topics(topic)


@contextmanager
def held_transaction(stage: Stage, database: str) -> Iterator[Any]:
    """A transaction that has written something and does not end meanwhile."""
    with closing(connect_to_tables(stage.server.url(database))) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_xact_id()")
        yield connection
