"""What the fixture `herald` offers to those who test a consumer of their own."""

from datetime import datetime, timedelta
from uuid import uuid4

import pytest

from herald.outbox import registry
from herald.outbox.settings import Settings, load_settings
from herald.pipeline.channel import Delivery, Letter
from herald.pipeline.testing.clock import VirtualClock
from herald.pipeline.testing.herald import Herald
from herald.pipeline.topic import Topic
from tests.pipeline.testing.bakery import baked
from tests.pipeline.testing.conftest import CONSUMER

pytestmark = pytest.mark.herald(topics=CONSUMER)
seen: list[tuple[str, int]] = []


class Pager:
    name = "pager"

    def host(self, address: str) -> str:
        return address

    def deliver(self, letter: Letter, delivery: Delivery) -> None:
        seen.append((letter.address, delivery.attempt))

    def close(self) -> None:
        pass


def test_a_message_is_delivered_to_its_handler(herald: Herald) -> None:
    cake = herald.post("cakes", {"customer": "ada", "layers": 2}, key="ada")

    herald.wait_until_settled()

    assert herald.look(cake).status == "sent"
    types = ["message.requested", "message.started", "message.sent"]
    assert [event.type for event in herald.history(cake)] == types
    (call,) = herald.deliveries
    assert (call.id, call.topic, call.key, call.attempt, call.is_returned) == (cake, "cakes", "ada", 1, True)
    herald.assert_nothing_lost(baked)


def test_what_fails_is_tried_again_at_once(herald: Herald) -> None:
    collapsing = herald.post("cakes", {"customer": "ada", "layers": 7})
    impossible = herald.post("cakes", {"customer": "bob", "layers": 10})

    herald.assert_nothing_lost(baked)

    assert herald.look(collapsing).attempts == 3
    assert herald.look(impossible).status == "dead"
    errors = [call.error for call in herald.deliveries if call.id == collapsing]
    assert errors == ["TemporaryError: it collapsed", "TemporaryError: it collapsed", None]


def test_records_of_other_producers_are_adopted_or_buried(herald: Herald) -> None:
    herald.publish_foreign(
        "cakes", {"customer": "eve", "layers": 1}, key="eve", headers={"ce_id": "1", "ce_source": "x"}
    )
    herald.publish_foreign("cakes", {"customer": "eve", "layers": 0})
    herald.publish_foreign("cakes", b"no JSON")

    herald.assert_nothing_lost(baked)

    assert [call.key for call in herald.deliveries] == ["eve"]


def test_the_clock_brings_a_date_near(herald: Herald, herald_clock: VirtualClock) -> None:
    tomorrow = herald_clock.now() + timedelta(hours=23)
    cake = herald.post("cakes", {"customer": "ada", "layers": 2}, deliver_at=tomorrow)
    with pytest.raises(AssertionError, match=f"before its date: move the clock\n  {cake} on cakes is scheduled"):
        herald.wait_until_settled()

    herald_clock.advance(days=1)

    herald.assert_nothing_lost(baked)
    assert herald.look(cake).sent_at > tomorrow  # type: ignore[operator]  # it is sent


@pytest.mark.herald(
    topics={"inline": Topic(data=dict, handle=lambda data, delivery: seen.append((data["n"], delivery.attempt)))},
    channels={"pager": Pager()},
    settings={"routes": {"page": {"channel": "pager", "address": "ops"}}, "max_attempts": 2},
)
def test_objects_of_the_test_are_consumers_too(herald: Herald) -> None:
    seen.clear()
    herald.notify("ada", "page", "wake up")
    herald.notify("ada", "other", "wake up", channel="pager", address="dev")
    herald.post("inline", {"n": "one"})

    herald.assert_nothing_lost()

    assert sorted(seen) == [("dev", 1), ("one", 1), ("ops", 1)]
    assert herald.settings.max_attempts == 2
    assert "inline" in registry.TOPICS
    assert "cakes" in registry.TOPICS, "markers of module and test add up"


def test_the_registry_is_afterwards_as_it_was() -> None:
    assert set(registry.TOPICS) == {"notifications", "generic_topic"}
    assert "pager" not in registry.CHANNELS


@pytest.mark.herald(settings={"window_seconds": 0.1})
def test_no_setting_of_the_developers_shell_gets_in(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nowhere/production")
    monkeypatch.setenv("HERALD_MAX_ATTEMPTS", "1")
    assert load_settings().max_attempts == 1
    herald: Herald = request.getfixturevalue("herald")

    expected = {"window_seconds", "fetch_wait", "session_timeout", "retry_base", "max_attempts"}
    assert herald.settings.model_fields_set == {*expected, "database_url", "kafka_bootstrap_servers"}
    assert isinstance(herald.settings, Settings)


def test_bad_input_is_refused_with_its_field(herald: Herald) -> None:
    passed = herald.clock.now() - timedelta(hours=1)
    far = herald.clock.now() + timedelta(days=10_000)
    with pytest.raises(ValueError, match="topic: no such topic: pies; registered: notifications, generic_topic, cakes"):
        herald.post("pies", {})
    with pytest.raises(ValueError, match=r"data: must be a JSON object, this is \[1\]"):
        herald.post("cakes", [1])
    with pytest.raises(ValueError, match="topic: a notification has fields of its own"):
        herald.post("notifications", {})
    with pytest.raises(ValueError, match="deliver_by: has passed already"):
        herald.post("cakes", {}, deliver_by=passed)
    with pytest.raises(ValueError, match="deliver_at: more than 366 days ahead"):
        herald.post("cakes", {}, deliver_at=far)
    with pytest.raises(ValueError, match=r"Expected `datetime` with a timezone component - at `\$.deliver_at`"):
        herald.post("cakes", {}, deliver_at=datetime(2030, 1, 1))  # noqa: DTZ001 - what is refused
    with pytest.raises(ValueError, match=r"<= 9 - at `\$.priority`"):
        herald.post("cakes", {}, priority=10)
    with pytest.raises(ValueError, match="no such channel: pigeon"):
        herald.notify("ada", "page", "hello", channel="pigeon")
    with pytest.raises(LookupError, match="no message"):
        herald.look(uuid4())

    herald.assert_nothing_lost(baked)
