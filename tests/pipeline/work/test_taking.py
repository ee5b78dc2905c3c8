"""Reading goes on once it can, and ends the process where it cannot for long."""

import msgspec
import pytest

from herald.outbox.destination.policies import Policy
from herald.pipeline.consume.inbox import Doorbell, Inbox
from herald.pipeline.consume.intake import Intake
from herald.pipeline.consume.record import SourceError
from herald.pipeline.consume.topic_ids import TopicIds
from herald.pipeline.deliver.deliveries import Deliveries
from herald.pipeline.topic import Topic
from herald.pipeline.work.claiming import Claiming
from herald.pipeline.work.ledger import LONGEST_WAIT, PATIENCE
from herald.pipeline.work.taking import Taking
from tests.pipeline.fakes import sent
from tests.pipeline.parts import make_decoder, make_router, settings
from tests.pipeline.records import arrival


class Scene:
    """An inbox whose foreign records can be read while `is_away` is false; `now` in seconds."""

    def __init__(self) -> None:
        self.now, self.is_away = 0.0, True
        self.inbox = Inbox(Doorbell())
        topics = {"orders": Topic(data=msgspec.Raw, handle=lambda _data, _delivery: None)}
        decoder = make_decoder(topics, topic_ids=TopicIds(self._tell))
        router = make_router(topics=topics)
        deliveries = Deliveries(sent, lambda _outcome: None, self._policy, concurrency=1)
        claiming = Claiming(settings(), router, deliveries)
        self.taking = Taking(self.inbox, Intake(decoder), claiming, clock=lambda: self.now)

    def take(self) -> int:
        return self.taking.take(10, most_bytes=10_000).arrivals

    def _tell(self) -> dict[str, str]:
        if self.is_away:
            raise ConnectionError
        return {}

    @staticmethod
    def _policy(_destination: str | None) -> Policy:
        raise AssertionError


def test_what_cannot_be_read_is_read_after_a_rest_that_grows() -> None:
    scene = Scene()
    scene.inbox.add(arrival(b"{}", topic="orders"))
    rests = []
    while scene.now < PATIENCE / 2:
        assert scene.take() == 0
        rests.append(scene.taking.rest)
        scene.now += scene.taking.rest
    scene.is_away = False

    assert rests == sorted(rests)
    assert rests[-1] == LONGEST_WAIT
    assert scene.take() == 1


def test_an_outage_that_lasts_is_told_and_takes_nothing() -> None:
    scene = Scene()
    scene.inbox.add(arrival(b"{}", topic="orders"))
    scene.take()
    scene.now += PATIENCE

    with pytest.raises(SourceError, match="ConnectionError"):
        scene.take()
    assert len(scene.inbox) == 1


def test_whoever_reads_some_begins_anew_to_be_patient() -> None:
    scene = Scene()
    scene.inbox.add(arrival(b"not json", topic="orders", offset=1))
    scene.inbox.add(arrival(b"{}", topic="orders", offset=2))
    assert scene.take() == 1
    scene.now += PATIENCE - 1
    scene.inbox.put_back([arrival(b"not json", topic="orders", offset=1)])
    assert scene.take() == 1
    scene.now += PATIENCE - 1

    assert scene.take() == 0
