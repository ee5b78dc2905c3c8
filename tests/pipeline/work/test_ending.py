"""A pipeline that cannot go on takes nothing new, finishes and records its open calls, and ends then."""

import threading
from collections.abc import Iterator, Mapping, Sequence

import pytest

from herald.outbox.moves.record import Outcome
from herald.pipeline.consume.dead_letters import DeadLetterError, Letter
from herald.pipeline.consume.inbox import WorkerError
from herald.pipeline.consume.record import Request
from herald.pipeline.work.ledger import Written
from herald.pipeline.work.transaction import RecordOf
from herald.pipeline.work.worker import Worker
from tests.pipeline import parts
from tests.pipeline.fakes import FakeChannel
from tests.pipeline.parts import make_router, settings
from tests.pipeline.records import accept, arrival, new_id, own, rows, statuses
from tests.servers.eventually import eventually


class Scene:
    """A worker of one thread, and what it is told by Kafka: `unanswered` questions, `error` for a dead letter."""

    def __init__(self, database: str) -> None:
        self.channel, self.failed = FakeChannel(), threading.Event()
        self.unanswered, self.asked, self.error = 0, 0, DeadLetterError("1 not acknowledged")
        found = settings(database, concurrency=1)
        self.worker: Worker = parts.make_worker(
            found,
            make_router(self.channel, found=found),
            self.refuse,
            on_error=self.failed.set,
            read_topic_ids=self.tell,
        )

    def refuse(self, _letters: Sequence[Letter]) -> None:
        raise self.error

    def tell(self) -> Mapping[str, str]:
        self.asked += 1
        if self.asked <= self.unanswered:
            raise ConnectionError("nobody answers")
        return {}


@pytest.fixture
def scene(database: str) -> Iterator[Scene]:
    scene = Scene(database)
    yield scene
    scene.channel.release()
    scene.worker.close(10)


def test_a_dead_letter_that_is_not_acknowledged_ends_the_pipeline_after_its_calls(database: str, scene: Scene) -> None:
    under_way, held = new_id(), new_id()
    accept(database, under_way, held)
    scene.channel.hold()
    scene.worker.start()
    for message in (under_way, held):
        scene.worker.inbox.add(own(message))
    scene.worker.inbox.flush(10)
    assert scene.channel.entered.acquire(timeout=10)

    scene.worker.inbox.add(arrival(b"junk"))
    assert scene.failed.wait(10)
    scene.channel.release()

    eventually(lambda: statuses(database) == {under_way: "sent", held: "scheduled"})
    with pytest.raises(WorkerError, match="not acknowledged"):
        scene.worker.inbox.flush(10)


def test_outcomes_and_claims_in_hand_survive_an_error_that_nobody_foresaw(
    database: str, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    called, claimed = new_id(), new_id()
    accept(database, called, claimed)
    ledger, write = scene.worker._ledger, scene.worker._ledger.write  # noqa: SLF001 - the seam at which it fails

    def fails_once(
        outcomes: Sequence[Outcome], requests: Sequence[Request], record_of: RecordOf, written: Written | None = None
    ) -> Written:
        """It claims the requests, and fails before the outcomes."""
        assert written is not None
        monkeypatch.setattr(ledger, "write", write)
        write([], requests, record_of, written)
        written.unrecorded = list(outcomes)
        raise KeyError("nobody foresaw it")

    scene.worker.inbox.add(own(called))
    assert scene.worker.work() == 1
    eventually(lambda: scene.channel.delivered)
    eventually(lambda: scene.worker._outcomes)  # noqa: SLF001 - it is in hand
    scene.worker.inbox.add(own(claimed))
    monkeypatch.setattr(ledger, "write", fails_once)

    scene.worker.start()

    eventually(lambda: statuses(database) == {called: "sent", claimed: "scheduled"})
    assert scene.failed.is_set()
    assert [delivery.id for _, delivery in scene.channel.delivered] == [called]
    assert rows(database, "SELECT uncounted FROM messages WHERE status = 'scheduled'") == [(1,)]


def test_what_reading_asks_is_asked_again_and_outcomes_are_recorded_meanwhile(database: str, scene: Scene) -> None:
    message = new_id()
    accept(database, message)
    scene.unanswered = 3
    scene.channel.hold()
    scene.worker.start()
    scene.worker.inbox.add(own(message))
    assert scene.channel.entered.acquire(timeout=10)

    scene.worker.inbox.add(arrival(key=None))
    eventually(lambda: scene.asked)
    scene.channel.release()

    eventually(lambda: list(statuses(database).values()) == ["sent", "sent"])
    assert (scene.asked, scene.failed.is_set()) == (4, False)
