"""Coroutines: a thousand calls may be open beside the threads, by the same rules, and one that blocks is named."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from herald.outbox.message.notification import Notification
from herald.outbox.settings import ChannelPolicy, Settings
from herald.pipeline.channel import Delivery, Letter, UnknownOutcomeError
from herald.pipeline.deliver import routing
from herald.pipeline.deliver.attempt import Attempt
from herald.pipeline.deliver.deliveries import LEAST_OPEN, MOST_OPEN, Deliveries
from herald.pipeline.deliver.routing import Router
from herald.pipeline.topic import Topic
from herald.pipeline.topics import notifications
from tests.pipeline.fakes import Collected, FakeChannel
from tests.pipeline.parts import make_deliverer, make_request, settings
from tests.pipeline.records import new_id
from tests.servers.eventually import eventually

FAR = float("inf")  # a deadline
MANY = 500  # calls


class Open:
    """A channel of coroutines that stay open until `release`; `entered` are their contents, in their order."""

    name = "webhook"

    def __init__(self) -> None:
        self.entered: list[str] = []
        self.closed = 0
        self.open = self.most_open = 0
        self._may_leave = threading.Event()
        self._waiting: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}

    def host(self, address: str) -> str:
        return address

    async def deliver(self, letter: Letter, _delivery: Delivery) -> None:
        self.entered.append(letter.address)
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            await self._left()
        finally:
            self.open -= 1

    async def close(self) -> None:
        self.closed += 1

    def release(self) -> None:
        self._may_leave.set()
        for event, loop in list(self._waiting.items()):
            loop.call_soon_threadsafe(event.set)

    async def _left(self) -> None:
        event = asyncio.Event()
        self._waiting[event] = asyncio.get_running_loop()
        try:
            if not self._may_leave.is_set():
                await event.wait()
        finally:
            del self._waiting[event]


class Scene:
    """Deliveries over `channel` and to the handlers of topics."""

    def __init__(self, found: Settings | None = None, *, calls: int = MANY, **handlers: Any) -> None:
        self.channel, self.collected = Open(), Collected()
        topics = {name: Topic(data=msgspec.Raw, handle=handle) for name, handle in handlers.items()}
        found = found or settings(
            routes={"orders": {"channel": "webhook", "address": "x"}}, destination_concurrency=MANY
        )
        topics["orders"] = Topic(data=msgspec.Raw)
        self.router = Router(found, topics, {"webhook": self.channel})
        self.deliveries = Deliveries(
            make_deliverer(self.router), self.collected, self.router.policy, concurrency=2, calls=calls
        )

    def attempt(self, topic: str = "orders", *, host: str | None = None, key: str | None = None) -> Attempt:
        destination = f"webhook:{host}" if host else "webhook" if topic == "orders" else None
        request = make_request(id=new_id(), topic=topic, key=key, data=msgspec.Raw(b"{}"), destination=destination)
        return Attempt(request, 1, FAR, destination=destination, is_async=self.router.is_async(request))


@pytest.fixture
def scenes() -> Iterator[list[Scene]]:
    made: list[Scene] = []
    yield made
    for scene in made:
        scene.channel.release()
        scene.deliveries.close(scene.router.close)


@pytest.fixture
def scene(scenes: list[Scene]) -> Scene:
    scenes.append(Scene())
    return scenes[0]


def test_calls_of_coroutines_are_open_at_once_in_one_thread(scene: Scene) -> None:
    before = threading.active_count()
    scene.deliveries.submit([scene.attempt() for _ in range(MANY)])

    eventually(lambda: scene.channel.open == MANY)

    assert threading.active_count() <= before + 2  # the loop and who watches it
    scene.channel.release()
    assert {outcome.outcome for outcome in scene.collected.wait(MANY)} == {"sent"}


def test_no_more_calls_are_open_than_the_setting_says_and_the_rest_is_left_in_kafka(scenes: list[Scene]) -> None:
    scenes.append(scene := Scene(calls=20))
    assert scene.deliveries.room == MOST_OPEN

    scene.deliveries.submit([scene.attempt() for _ in range(50)])

    eventually(lambda: scene.channel.open == 20)
    assert scene.deliveries.has_unbegun
    assert scene.deliveries.room == LEAST_OPEN - 50
    scene.channel.release()
    scene.collected.wait(50)
    assert scene.channel.most_open == 20


def test_what_was_not_begun_can_be_taken_back_and_what_was_goes_on(scenes: list[Scene]) -> None:
    scenes.append(scene := Scene(calls=1))
    made = [scene.attempt(key=key) for key in ("7", "7", "8")]
    scene.deliveries.submit(made)
    eventually(lambda: scene.channel.open == 1)
    assert scene.deliveries.has_unbegun

    assert sorted(scene.deliveries.abandon(), key=id) == sorted(made[1:], key=id)

    assert not scene.deliveries.has_unbegun
    scene.channel.release()
    assert [outcome.id for outcome in scene.collected.wait(1)] == [made[0].request.id]


def test_a_destination_has_its_limit_on_the_loop_as_well(scenes: list[Scene]) -> None:
    routes = {"orders": {"channel": "webhook", "address": "x"}}
    scenes.append(
        scene := Scene(settings(routes=routes, channels={"webhook": ChannelPolicy(destination_concurrency=3)}))
    )

    scene.deliveries.submit([scene.attempt(host="a") for _ in range(9)])

    eventually(lambda: scene.channel.open == 3)
    scene.channel.release()
    scene.collected.wait(9)
    assert scene.channel.most_open == 3


def test_messages_of_one_key_are_delivered_in_their_order(scenes: list[Scene]) -> None:
    called: list[str] = []

    async def awaited(_data: msgspec.Raw, delivery: Delivery) -> None:
        called.append(f"{delivery.id} begins")
        await asyncio.sleep(0)
        called.append(f"{delivery.id} ends")

    scenes.append(scene := Scene(bills=awaited))
    made = [scene.attempt("bills", key="7") for _ in range(50)]

    scene.deliveries.submit(made)

    scene.collected.wait(50)
    assert called == [f"{one.request.id} {step}" for one in made for step in ("begins", "ends")]


def test_a_key_has_one_order_over_threads_and_loop(scenes: list[Scene]) -> None:
    """Its messages go over channels of both kinds, in turns."""
    scenes.append(scene := Scene())
    scene.channel.release()
    log = FakeChannel()
    router = Router(settings(), {"notifications": notifications.topic}, {"webhook": scene.channel, "log": log})
    deliveries = Deliveries(make_deliverer(router), scene.collected, router.policy, concurrency=2, calls=10)
    made = []
    for number in range(40):
        channel = ("webhook", "log")[number % 2]
        data = Notification(user_id="7", event="e", content="c", channel=channel, address="x")
        request = make_request(id=new_id(), key="7", data=data, destination=channel)
        made.append(Attempt(request, 1, FAR, destination=channel, is_async=channel == "webhook"))

    deliveries.submit(made)

    assert [outcome.id for outcome in scene.collected.wait(40)] == [one.request.id for one in made]
    assert (len(scene.channel.entered), len(log.delivered)) == (20, 20)
    deliveries.close(router.close)


def test_a_handler_that_blocks_the_loop_is_named_and_holds_up_neither_threads_nor_claims(
    scenes: list[Scene], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("herald.pipeline.deliver.loop.BLOCKED", 0.2)
    free = threading.Event()

    async def blocks(_data: msgspec.Raw, _delivery: Delivery) -> None:
        free.wait(10)

    scenes.append(scene := Scene(bills=blocks, plain=lambda _data, _delivery: None))
    blocking, beside = scene.attempt("bills"), scene.attempt("plain")

    with capture_logs() as logs:
        scene.deliveries.submit([blocking])
        eventually(lambda: logs)
        scene.deliveries.submit([beside])
        assert [outcome.id for outcome in scene.collected.wait(1)] == [beside.request.id]
        free.set()
        scene.collected.wait(1)

    (line,) = logs
    assert (line["event"], line["topic"], line["id"]) == ("loop_blocked", "bills", str(blocking.request.id))
    assert line["at"].startswith(__file__)
    assert line["at"].endswith("blocks")


def test_a_coroutine_that_does_not_end_is_cancelled_and_its_outcome_unknown(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routing, "GRACE", 0.0)
    one = scene.attempt()
    delivery = Delivery(id=one.request.id, topic="orders", key=None, attempt=1, timeout=0.05)

    with pytest.raises(UnknownOutcomeError, match=r"it did not end within 0\.05 s"):
        asyncio.run(asyncio.wait_for(scene.router.deliver(one.request, delivery), 3))

    assert (scene.channel.entered, scene.channel.open) == (["x"], 0)


def test_what_a_plain_function_leaves_to_be_awaited_is_no_delivery(scenes: list[Scene]) -> None:
    async def later() -> None:
        """Nobody awaits it."""

    scenes.append(scene := Scene(bills=lambda _data, _delivery: later()))

    scene.deliveries.submit([scene.attempt("bills")])

    (outcome,) = scene.collected.wait(1)
    assert outcome.outcome == "postponed"
    assert "must be `async def` itself" in str(outcome.reason)


def test_a_plain_function_may_return_what_it_likes(scenes: list[Scene]) -> None:
    """Its client's answer, for example: the message was delivered, and another try would deliver it again."""
    scenes.append(scene := Scene(bills=lambda _data, _delivery: "202 Accepted"))

    scene.deliveries.submit([scene.attempt("bills")])

    assert scene.collected.wait(1)[0].outcome == "sent"


def test_whatever_a_coroutine_raises_is_the_outcome_of_its_attempt(scenes: list[Scene]) -> None:
    async def leaves(_data: msgspec.Raw, _delivery: Delivery) -> None:
        raise SystemExit(3)

    scenes.append(scene := Scene(bills=leaves))

    scene.deliveries.submit([scene.attempt("bills")])

    assert scene.collected.wait(1)[0].outcome == "postponed"


def test_what_is_open_at_the_end_is_cancelled_and_channels_are_closed_where_they_were_used(scene: Scene) -> None:
    scene.deliveries.submit([scene.attempt() for _ in range(5)])
    eventually(lambda: scene.channel.open == 5)

    scene.deliveries.close(scene.router.close)

    assert (scene.channel.open, scene.channel.closed) == (0, 1)
