"""The example of the page about topics, run as a reader would add it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from herald.outbox import registry
from herald.outbox.extensions import extend
from herald.pipeline.load import load_channels, load_topics
from herald.pipeline.work.worker import Worker
from tests.docs.shop import entry_points, write_shop
from tests.outbox.extending import Install, install
from tests.pipeline.fakes import FakeDeadLetters
from tests.pipeline.parts import make_router, make_worker, settings
from tests.pipeline.records import arrival, rows
from tests.servers.eventually import eventually

__all__ = ["install"]


@pytest.fixture
def orders(tmp_path: Path, install: Install) -> str:
    """The file written and the line added; gives the topic's name."""
    write_shop(tmp_path)
    (name,) = entry_points("topics.md")["herald.topics"]
    install("herald-shop", topics=entry_points("topics.md")["herald.topics"])
    extend(())
    return name


@pytest.fixture
def worker(database: str, orders: str, dead_letters: FakeDeadLetters) -> Iterator[Worker]:
    topics = load_topics()
    assert orders in topics
    found = settings(database)
    worker = make_worker(found, make_router(topics=topics, found=found), dead_letters.send, topics=topics)
    worker.start()
    yield worker
    worker.close(10)


@pytest.fixture
def dead_letters() -> FakeDeadLetters:
    return FakeDeadLetters()


@pytest.mark.parametrize(
    ("warehouse", "pieces", "status", "reason"),
    [
        ("south", 3, "sent", None),
        ("north", 3, "failed", "the warehouse north is closed"),
        ("south", 1_001, "dead", "1001 pieces: the limit is 1000"),
    ],
)
def test_a_topic_of_ones_own_is_one_file_and_one_line(
    database: str, worker: Worker, warehouse: str, pieces: int, status: str, reason: str | None
) -> None:
    worker.inbox.add(arrival({"order_id": "o-1", "warehouse": warehouse, "pieces": pieces}, key=None, topic="orders"))

    eventually(lambda: rows(database, "SELECT status FROM messages") == [(status,)])
    assert rows(database, "SELECT topic, key, reason FROM messages") == [("orders", "o-1", reason)]


def test_an_order_that_does_not_decode_is_buried(worker: Worker, dead_letters: FakeDeadLetters) -> None:
    worker.inbox.add(arrival({"order_id": "o-1", "warehouse": "south", "pieces": 0}, topic="orders"))
    worker.inbox.flush(10)

    assert dead_letters.reasons == ["Expected `int` >= 1 - at `$.pieces`"]


def test_every_registered_topic_and_channel_can_be_loaded() -> None:
    assert set(load_topics()) == set(registry.TOPICS)
    assert {name: channel.name for name, channel in load_channels(settings()).items()} == {
        name: name for name in registry.CHANNELS
    }
