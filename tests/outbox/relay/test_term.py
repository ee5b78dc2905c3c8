"""The cursor passes settled pages only, in order."""

import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from herald.outbox.kafka.clients import make_admin
from herald.outbox.kafka.topics import make_topics
from herald.outbox.postgres.driver import Connection
from herald.outbox.relay import cursor as cursors
from herald.outbox.relay import term as terms
from herald.outbox.relay.in_flight import InFlight
from herald.outbox.relay.judging import Judge
from herald.outbox.relay.publisher import Publisher
from herald.outbox.relay.reader import Limits, Page, read_page
from herald.outbox.relay.session import open_session
from herald.outbox.relay.term import Term
from tests.conftest import ROOT
from tests.outbox.connections import accepted, connected, make_settings, notification
from tests.outbox.relay.test_relay import Topic
from tests.servers.eventually import eventually

NOWHERE = "127.0.0.1:1"
# On a busy machine a handler has its turn when the wait that it interrupted would be over.
INTERRUPTED = """
import os, signal, threading, time
from unittest.mock import Mock
from herald.outbox.relay.term import Term

def handle_slowly(*_):
    over = time.monotonic() + 0.5
    while time.monotonic() < over:
        pass

def tell():
    stop.set()
    os.kill(os.getpid(), signal.SIGTERM)

signal.signal(signal.SIGTERM, handle_slowly)
stop, publisher = threading.Event(), Mock(in_flight=0, waits_for=0.0, take_settled=Mock(return_value=[]))
term = Term(Mock(), Mock(), publisher, limits=Mock(), poll=0.2, judge=Mock())
threading.Timer(0.1, tell).start()
while term._goes_on(stop):
    term._publish_next()
"""


class FakePublisher:
    """Takes pages like a Publisher and settles as many of them as `acknowledge` allows, in order."""

    def __init__(self) -> None:
        self.pages: list[InFlight] = []
        self.taken = self.acknowledged = 0

    waits_for = 0.0  # seconds: nothing is stuck here

    @property
    def in_flight(self) -> int:
        return len(self.pages) - self.taken

    def publish(self, page: Page) -> None:
        self.pages.append(InFlight(page))

    def take_settled(self, timeout: float) -> list[InFlight]:
        threading.Event().wait(timeout)
        settled = self.pages[self.taken : self.acknowledged]
        self.taken = self.acknowledged
        return settled


@pytest.fixture
def session(database: str) -> Iterator[Connection]:
    session = open_session(make_settings(database))
    yield session
    session.close()


def test_the_cursor_passes_no_page_that_is_not_settled(
    database: str, session: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terms, "DRAIN_TIMEOUT", 0.0)
    with connected(database) as writer:
        messages = accepted(writer, notification(), notification(), notification())
    publisher, stop = FakePublisher(), threading.Event()
    cursor = cursors.load(session)
    term = Term(session, cursor, publisher, limits=Limits(1), poll=0.05, judge=Judge())  # type: ignore[arg-type]
    thread = threading.Thread(target=term.run, args=(stop,))
    thread.start()

    eventually(lambda: len(publisher.pages) >= 3)
    publisher.acknowledged = 1
    eventually(lambda: publisher.taken == 1)
    stop.set()
    thread.join()

    left = read_page(session, cursors.load(session), Limits(10))
    assert [row[0] for row in left.rows] == [str(message) for message in messages[1:]]


def test_the_fake_settles_like_the_publisher_it_stands_for(database: str, session: Connection, broker: str) -> None:
    with connected(database) as writer:
        accepted(writer, notification())
    page = read_page(session, cursors.load(session), Limits(10))
    settings = make_settings(database, KAFKA_BOOTSTRAP_SERVERS=broker)
    make_topics(make_admin(settings), settings)
    fake, real = FakePublisher(), Publisher(settings)
    fake.acknowledged = 1

    for publisher in (fake, real):
        publisher.publish(page)
        assert publisher.in_flight == 1
        settled = eventually(lambda publisher=publisher: publisher.take_settled(0.1))  # type: ignore[misc]
        assert [one.cursor for one in settled] == [page.cursor]
        assert publisher.in_flight == 0
    assert len(Topic(broker).read()) == 1


def test_a_page_settled_early_waits_for_the_one_before_it(database: str, session: Connection) -> None:
    with connected(database) as writer:
        accepted(writer, notification(), notification())
    publisher = Publisher(make_settings(database, KAFKA_BOOTSTRAP_SERVERS=NOWHERE))
    first = read_page(session, cursors.load(session), Limits(1))
    second = read_page(session, first.cursor, Limits(1))
    publisher.publish(first)
    publisher.publish(second)
    earlier, later = publisher._pages  # noqa: SLF001 - what Kafka acknowledges, and in which order, is its own affair

    later.open = 0
    assert publisher.take_settled(0) == []
    earlier.open = 0
    assert publisher.take_settled(0) == [earlier, later]


def test_a_signal_at_the_end_of_a_wait_for_a_page_makes_no_relay_wait_for_ever() -> None:
    command = [sys.executable, "-c", INTERRUPTED]

    done = subprocess.run(command, env={"PYTHONPATH": str(ROOT)}, timeout=30, check=False)

    assert done.returncode == 0
