"""A broker that its controller fences, again and again, while its connections break; and what Herald does afterwards.

Every seed is a Herald of its own (a relay, a pipeline, a database) behind the door of an embedded broker, and a
sequence of troubles. Clients of Kafka that got an answer without brokers, and then lost their connection, may never
connect again; nothing but a deadline of Herald's own helps.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from threading import Event
from time import monotonic
from uuid import UUID

from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch
from tests.conftest import TEMPLATE, migrate
from tests.outbox.connections import accepted, connected, notification
from tests.outbox.relay.test_relay import Topic
from tests.proof.faults.report import machine, paragraphs, table
from tests.servers.herald import HeraldProcess
from tests.servers.postgres import FAST, PostgresServer
from tests.servers.troubled_broker import Phase, TroubledBroker

TROUBLE = 20.0  # seconds
BACK = 40.0  # seconds after which publishing must go on
DELIVERED = 80.0  # seconds: a pipeline that begins anew may wait for its group as well
STARTED = 90.0  # seconds, many at once on a small machine
BEAT = 0.5  # seconds between two messages
WITHOUT = 3600.0  # seconds of patience that are none
PHASES: tuple[Phase, ...] = ("well", "fenced", "fenced", "slow", "hanging", "refusing")
LASTS = (0.1, 0.5, 1.0, 3.0, 7.0)  # seconds of a phase
BREAKS = 0.5  # probability that connections break when a phase begins
ROLES = ("relay", "pipeline")

_pause = Event()
Steps = Sequence[tuple[Phase, bool, float]]  # phase, whether connections break first, seconds
SHORTEST: Steps = [("fenced", False, 3.0), ("fenced", True, 2.0)]


@dataclass(frozen=True)
class Course:
    """What became of one seed: seconds until a message accepted after the trouble was published and sent, or None."""

    seed: int
    published_after: float | None
    sent_after: float | None
    lost: int
    terms_ended: int


def drawn_steps(seed: int) -> Steps:
    """The troubles of a seed."""
    draw, steps, left = random.Random(seed), [], TROUBLE  # noqa: S311 - repeatable
    while left > 0:
        step = (draw.choice(PHASES), draw.random() < BREAKS, draw.choice(LASTS))
        steps.append(step)
        left -= step[2]
    return steps


class System:
    """A relay and a pipeline on a broker in trouble."""

    def __init__(self, folder: Path, database: str, broker: TroubledBroker, settings: dict[str, str]) -> None:
        self.broker = broker
        self._database = database
        said = {"DATABASE_URL": database, "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers, **settings}
        self.members = {role: HeraldProcess(role, folder=folder, settings=said) for role in ROLES}
        self.messages: list[UUID] = []

    @contextmanager
    def running(self) -> Iterator[Connection]:
        """Both have begun."""
        try:
            for member in self.members.values():
                member.start()
            self.members["relay"].wait_for('"leading"', STARTED)
            self.members["pipeline"].wait_for("pipeline_started", STARTED)
            with connected(self._database) as connection:
                yield connection
        finally:
            for member in self.members.values():
                member.kill()

    def beat(self, connection: Connection, seconds: float) -> None:
        """Accept messages for so long, and start what has ended."""
        end = monotonic() + seconds
        while True:
            for member in self.members.values():
                if not member.running:
                    member.start()
            self.messages += accepted(connection, notification())
            left = end - monotonic()
            if left <= 0:
                return
            _pause.wait(min(BEAT, left))


def play(seed: int, steps: Steps, server: PostgresServer, *, patience: float | None = None) -> Course:
    """Put the troubles into a Herald of its own, and wait until it is well again."""
    with TemporaryDirectory(prefix="herald-fenced-", ignore_cleanup_errors=True) as name:
        folder, database = Path(name), f"fenced_{seed}"
        server.execute(f"CREATE DATABASE {database} TEMPLATE {TEMPLATE}")
        server.execute("SELECT instance_takes_place(true)", database)
        settings = {} if patience is None else {"HERALD_KAFKA_PATIENCE": str(patience)}
        try:
            with TroubledBroker(folder, seed=seed) as broker:
                system = System(folder, server.url(database), broker, settings)
                with system.running() as connection:
                    return _judge(seed, system, connection, steps)
        finally:
            server.execute(f"DROP DATABASE {database} WITH (FORCE)")


def _judge(seed: int, system: System, connection: Connection, steps: Steps) -> Course:
    broker = system.broker
    system.beat(connection, 2.0)
    for phase, breaks, seconds in steps:
        broker.phase = phase
        if breaks:
            broker.close_all()
        system.beat(connection, seconds)
    broker.phase = "well"
    broker.close_all()
    well_at = monotonic()
    system.beat(connection, 1.0)
    last, topic = str(system.messages[-1]), Topic(broker.tansu.bootstrap_servers)
    published = _seconds(lambda: last in topic.subjects(), well_at, BACK, system, connection)
    if published is None:
        return Course(seed, None, None, 0, _terms_ended(system))
    accepted_by_now = list(system.messages)
    sent = _seconds(lambda: _are_sent(connection, accepted_by_now), well_at, DELIVERED, system, connection)
    lost = len({str(one) for one in accepted_by_now} - set(topic.subjects()))
    return Course(seed, published, sent, lost, _terms_ended(system))


def _terms_ended(system: System) -> int:
    return system.members["relay"].output().count("term_ended")


def _seconds(
    condition: Callable[[], bool], since: float, most: float, system: System, connection: Connection
) -> float | None:
    """When it holds, counted from `since`; messages go on coming."""
    while monotonic() - since < most:
        if condition():
            return monotonic() - since
        system.beat(connection, 0.0)
        _pause.wait(BEAT)
    return None


def _are_sent(connection: Connection, messages: Sequence[UUID]) -> bool:
    wanted = [str(message) for message in messages]
    ((count,),) = fetch(
        connection, "SELECT count(*) FROM messages WHERE status <> 'sent' AND id = ANY (%s::uuid[])", wanted
    )
    connection.rollback()
    return not count


def play_all(seeds: int, *, at_once: int, patience: float | None = None) -> list[Course]:
    """The seeds from 1 on, several at a time."""
    with PostgresServer(FAST) as server, ThreadPoolExecutor(at_once) as pool:
        server.execute(f"CREATE DATABASE {TEMPLATE}")
        migrate(server.url(TEMPLATE))

        def one(seed: int) -> Course:
            return play(seed, drawn_steps(seed), server, patience=patience)

        return list(pool.map(one, range(1, seeds + 1)))


def describe(found: Sequence[Course], *, has_patience: bool) -> str:
    """For the page."""
    back = sorted(one.published_after for one in found if one.published_after is not None)
    sent = sorted(one.sent_after for one in found if one.sent_after is not None)
    never = [str(one.seed) for one in found if one.published_after is None]
    figures = {
        "seeds": len(found),
        f"publishing went on within {BACK:g} s after the broker was well": len(back),
        "median and longest, seconds": f"{median(back):.1f}, {back[-1]:.1f}" if back else "none",
        "seeds that did not come back": ", ".join(never) or "none",
        f"all delivered within {DELIVERED:g} s": len(sent),
        "accepted and not published, where it went on": sum(one.lost for one in found),
        "terms ended": sum(one.terms_ended for one in found),
    }
    where = machine().partition(" (fsync")[0]
    head = f"{where}. {'With' if has_patience else 'Without'} the patience, the embedded broker behind a door."
    return paragraphs([head, table(("", "measured"), figures)])
