"""What is withheld catches up beside the leader, with one client for all its looks."""

import threading
from collections.abc import Iterator

import pytest
from confluent_kafka.admin import AdminClient

from herald.outbox.kafka.clients import make_admin
from herald.outbox.kafka.topics import make_topics
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch
from herald.outbox.relay import catching_up as catching
from herald.outbox.relay import cursor as cursors
from herald.outbox.relay.catching_up import CatchingUp
from herald.outbox.relay.judging import Judge
from herald.outbox.relay.reader import Limits
from herald.outbox.relay.session import open_session
from herald.outbox.relay.withheld import WHOLE, Part, load_withheld, withhold
from herald.outbox.settings import Settings
from tests.outbox.connections import accepted, connected, make_settings, notification
from tests.outbox.relay.test_relay import Topic, ids
from tests.servers.eventually import eventually

PART = Part("notifications", WHOLE, 0)
ANSWERED = 10.0  # seconds


@pytest.fixture
def session(database: str) -> Iterator[Connection]:
    session = open_session(make_settings(database))
    withhold(session, cursors.load(session), {PART: "no such topic"})
    yield session
    session.close()


def make_catching_up(database: str, broker: str, session: Connection, *, page: int = 10) -> CatchingUp:
    settings = make_settings(database, KAFKA_BOOTSTRAP_SERVERS=broker)
    withheld = load_withheld(session, cursors.load(session))
    return CatchingUp(settings, withheld, Limits(page), lambda: None, judge=Judge())


def test_many_looks_take_one_client(
    database: str, broker: str, session: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[AdminClient] = []
    looked = threading.Semaphore(0)

    class CountingUp(CatchingUp):
        def _look(self) -> None:
            super()._look()
            looked.release()

    def make(settings: Settings) -> AdminClient:
        made.append(make_admin(settings))
        return made[-1]

    monkeypatch.setattr(catching, "LOOK", 0.01)
    monkeypatch.setattr(catching, "make_admin", make)
    settings = make_settings(database, KAFKA_BOOTSTRAP_SERVERS=broker)
    withheld = load_withheld(session, cursors.load(session))
    catching_up = CountingUp(settings, withheld, Limits(10), lambda: None, judge=Judge())

    catching_up.start()
    assert all(looked.acquire(timeout=ANSWERED) for _ in range(3))
    catching_up.stop()

    assert len(made) == 1


def test_who_is_told_to_stop_while_all_wait_for_a_part_leaves_it_withheld(
    database: str, broker: str, session: Connection
) -> None:
    stop = threading.Event()
    stop.set()

    make_catching_up(database, broker, session).finish(session, PART, stop)

    assert fetch(session, "SELECT topic FROM relay_withheld") == [("notifications",)]


def test_the_rest_of_a_part_is_published_without_a_rest(database: str, broker: str, session: Connection) -> None:
    class NoRest(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            raise AssertionError(timeout)

    make_topics(make_admin(make_settings(database, KAFKA_BOOTSTRAP_SERVERS=broker)), make_settings(database))
    with connected(database) as writer:
        messages = accepted(writer, notification(), notification(), notification())
    catching_up = make_catching_up(database, broker, session, page=1)
    catching_up.caught_up = PART

    catching_up.finish(session, PART, NoRest())

    assert eventually(lambda: Topic(broker).subjects()) == ids(messages)
    assert fetch(session, "SELECT topic FROM relay_withheld") == []
