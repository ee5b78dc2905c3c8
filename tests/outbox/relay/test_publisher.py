"""What a publisher waits for, on producers without a broker."""

from collections.abc import Sequence

import pytest

from herald.outbox.kafka.clients import make_admin
from herald.outbox.kafka.partitioner import partition_of
from herald.outbox.kafka.topics import make_topics
from herald.outbox.relay import in_flight
from herald.outbox.relay import publisher as publishing
from herald.outbox.relay.cursor import Cursor
from herald.outbox.relay.errors import WithheldError
from herald.outbox.relay.hearing import MUTE
from herald.outbox.relay.in_flight import InFlight
from herald.outbox.relay.judging import SCOUT, Judge
from herald.outbox.relay.publisher import Publisher
from herald.outbox.relay.reader import Page, Row
from herald.outbox.relay.withheld import Part
from tests.outbox.connections import make_settings
from tests.outbox.relay.fake_producer import PARTITIONS, FakeBrokers, use_fake_producers
from tests.servers.eventually import eventually

SETTINGS = make_settings("postgresql://herald@localhost/herald", KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
CURSOR = Cursor("1:1:", None, 0, 0, 0, "", 0, None)
NUMBERS = [f"user-{number}" for number in range(40)]
KEYS = [next(key for key in NUMBERS if partition_of(key.encode(), PARTITIONS) == one) for one in range(PARTITIONS)]


class FakeTime:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    clock = FakeTime()
    for module in (publishing, in_flight):
        monkeypatch.setattr(module, "time", clock)
    return clock


def row(position: int, key: str | None, *, topic: str = "notifications", data: str = "{}") -> Row:
    return (f"stream-{position}", 1, "other", topic, key, data, "2026-11-29T00:00:00.000000Z", "1", None, position)


def publish(publisher: Publisher, rows: Sequence[Row]) -> None:
    publisher.publish(Page(list(rows), CURSOR))


def test_a_row_that_the_producer_refuses_makes_no_partition_mute(
    clock: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_fake_producers(monkeypatch, FakeBrokers(most_local=100, mute=frozenset({1})))
    publisher = Publisher(SETTINGS, judge=Judge())
    publish(publisher, [row(1, KEYS[0]), row(2, KEYS[1]), row(3, KEYS[2], data="x" * 101)])
    publisher.take_settled(0)
    clock.seconds += MUTE + 1
    publish(publisher, [row(4, KEYS[0])])
    publisher.take_settled(0)

    with pytest.raises(WithheldError) as found:
        publisher.check_leaders()

    assert list(found.value.parts) == [Part("notifications", 1, PARTITIONS)]


def test_a_topic_that_cannot_exist_is_not_withheld_while_its_page_is_stuck(
    clock: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_fake_producers(monkeypatch, FakeBrokers(mute=frozenset({1})))
    publisher = Publisher(SETTINGS, judge=Judge())
    publish(publisher, [row(1, KEYS[0], topic="no topic!"), row(2, KEYS[1])])
    clock.seconds += MUTE / 2

    publisher.check_leaders()

    assert publisher.in_flight == 1


def test_pages_that_are_settled_are_returned_before_the_next_one_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    use_fake_producers(monkeypatch, FakeBrokers(most=100))
    publisher = Publisher(SETTINGS, is_careful=True, judge=Judge())
    publish(publisher, [row(1, KEYS[0], topic="generic_topic")])
    publish(publisher, [row(2, KEYS[0], data="x" * 101)])

    settled = publisher.take_settled(0)

    assert [page.rows[0][9] for page in settled] == [1]
    with pytest.raises(WithheldError):
        publisher.take_settled(0)


def test_a_topic_that_took_something_since_has_another_minute_before_a_record_is_set_aside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use_fake_producers(monkeypatch, FakeBrokers(most=100))
    clock = FakeTime()
    judge = Judge(clock.monotonic)

    def attempt(data: str) -> list[InFlight]:
        publisher = Publisher(SETTINGS, is_careful=True, judge=judge)
        publish(publisher, [row(1, KEYS[0], data=data)])
        return publisher.take_settled(0)

    with pytest.raises(WithheldError):
        attempt("x" * 101)
    attempt("{}")
    clock.seconds += 10 * SCOUT

    with pytest.raises(WithheldError):
        attempt("x" * 101)
    clock.seconds += SCOUT
    assert [why for page in attempt("x" * 101) for _, why in page.aside] == ["Broker: Message size too large"]


def test_the_fake_settles_like_the_producer_it_stands_for(broker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = SETTINGS.model_copy(update={"kafka_bootstrap_servers": broker})
    make_topics(make_admin(settings), settings)

    def settled() -> InFlight:
        publisher = Publisher(settings, judge=Judge())
        publish(publisher, [row(1, KEYS[0]), row(2, KEYS[1]), row(3, KEYS[2], data="x" * 1_500_000)])
        found: list[InFlight] = eventually(lambda: publisher.take_settled(0.1), 20)
        publisher.abandon()
        return found[0]

    real = settled()
    use_fake_producers(monkeypatch, FakeBrokers())
    fake = settled()

    assert fake.settled == real.settled
    assert [one[0] for one in fake.refused] == [one[0] for one in real.refused]
    assert fake.unsent == real.unsent
