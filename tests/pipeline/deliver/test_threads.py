"""Deliveries under way: many keys at once, one key in order."""

import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from unittest.mock import Mock

import pytest

from herald.outbox.message.notification import Notification
from herald.outbox.moves.record import Outcome
from herald.pipeline.deliver.attempt import Attempt
from herald.pipeline.deliver.attempting import Deliverer
from herald.pipeline.deliver.deliveries import LEAST_OPEN, MOST_OPEN, Deliveries
from herald.pipeline.deliver.retry import OUT_OF_TIME
from tests.pipeline.fakes import Collected, FakeChannel, sent
from tests.pipeline.parts import in_this_thread, make_deliverer, make_request, make_router
from tests.servers.eventually import eventually

FAR = float("inf")  # a deadline
POLICY = make_router().policy


def attempt(key: str | None, *, content: str = "hello", deadline: float = FAR, defect: str | None = None) -> Attempt:
    data = Notification(user_id=key or "nobody", event="e", content=content)
    request = make_request(key=key, data=data, defect=defect)
    return Attempt(request, 1, deadline)


@pytest.fixture
def channel() -> Iterator[FakeChannel]:
    channel = FakeChannel()
    yield channel
    channel.release()


def deliverer_of(channel: FakeChannel, *, clock: Callable[[], float] = lambda: 0.0) -> Deliverer:
    return make_deliverer(make_router(channel), clock=clock)


def make_deliveries(channel: FakeChannel, collected: Collected, *, concurrency: int = 4) -> Deliveries:
    return Deliveries(deliverer_of(channel), collected, POLICY, concurrency=concurrency)


def test_what_all_threads_could_not_begin_soon_is_left_in_kafka(channel: FakeChannel) -> None:
    channel.hold()
    deliveries = make_deliveries(channel, Collected(), concurrency=2)

    deliveries.submit([attempt("7")])
    assert channel.entered.acquire(timeout=10)
    assert deliveries.room == MOST_OPEN - 1
    deliveries.submit([attempt("8"), attempt("9")])
    assert channel.entered.acquire(timeout=10)

    assert deliveries.room == LEAST_OPEN - 3


def test_room_is_bounded_by_bytes_and_one_that_is_larger_passes_alone(channel: FakeChannel) -> None:
    channel.hold()
    collected = Collected()
    deliveries = Deliveries(deliverer_of(channel), collected, POLICY, concurrency=2, most_bytes=100)
    assert deliveries.room_bytes == 100

    deliveries.submit([one := attempt("7")])
    assert deliveries.room_bytes == 100 - one.size < 0
    channel.release()
    deliveries.settled(collected.wait(1))

    assert deliveries.room_bytes == 100


def test_messages_of_one_key_are_delivered_in_their_order(channel: FakeChannel) -> None:
    collected = Collected()
    deliveries = make_deliveries(channel, collected)

    deliveries.submit([attempt("7", content=str(number)) for number in range(50)])

    collected.wait(50)
    assert [content for content, _ in channel.delivered] == [str(number) for number in range(50)]


def test_a_key_with_an_attempt_under_way_holds_its_next_message_and_no_other(channel: FakeChannel) -> None:
    channel.hold()
    collected = Collected()
    deliveries = make_deliveries(channel, collected)

    deliveries.submit([attempt("7", content="first"), attempt("7", content="second"), attempt("8", content="other")])

    assert channel.entered.acquire(timeout=10)
    assert channel.entered.acquire(timeout=10)
    assert not channel.entered.acquire(blocking=False)
    channel.release()
    collected.wait(3)
    contents = [content for content, _ in channel.delivered]
    assert contents.index("first") < contents.index("second")


def test_messages_without_a_key_do_not_wait_for_each_other(channel: FakeChannel) -> None:
    channel.hold()
    deliveries = make_deliveries(channel, Collected())

    deliveries.submit([attempt(None), attempt(None), attempt(None)])

    assert all(channel.entered.acquire(timeout=10) for _ in range(3))


def test_no_more_deliveries_run_than_there_are_slots(channel: FakeChannel) -> None:
    channel.hold()
    collected = Collected()
    deliveries = make_deliveries(channel, collected, concurrency=2)

    deliveries.submit([attempt(str(number)) for number in range(5)])

    assert all(channel.entered.acquire(timeout=10) for _ in range(2))
    assert not deliveries.waiting
    channel.release()
    assert len(collected.wait(5)) == 5


def test_one_thread_is_enough_while_deliveries_are_fast() -> None:
    threads: set[int] = set()
    collected = Collected()

    async def perform(made: Attempt) -> Outcome:
        threads.add(threading.get_ident())
        return await sent(made)

    deliveries = Deliveries(perform, collected, POLICY, concurrency=8, assumed=0.0)
    deliveries.submit([attempt(str(number)) for number in range(200)])

    collected.wait(200)
    assert len(threads) == 1


def test_one_more_thread_helps_what_waits_behind_a_delivery_that_is_unexpectedly_slow(channel: FakeChannel) -> None:
    channel.hold()
    deliveries = Deliveries(deliverer_of(channel), Collected(), POLICY, concurrency=2, assumed=0.0)
    deliveries.submit([attempt("7"), attempt("8")])
    assert channel.entered.acquire(timeout=10)
    assert deliveries.waiting

    deliveries.wake_one_more()

    assert channel.entered.acquire(timeout=10)


def test_what_was_not_begun_can_be_taken_back(channel: FakeChannel) -> None:
    channel.hold()
    collected = Collected()
    deliveries = make_deliveries(channel, collected, concurrency=1)
    under_way, held, waiting = attempt("7"), attempt("7"), attempt("8")
    deliveries.submit([under_way, held, waiting])
    assert channel.entered.acquire(timeout=10)

    assert sorted(deliveries.abandon(), key=id) == sorted([held, waiting], key=id)

    channel.release()
    assert [outcome.id for outcome in collected.wait(1)] == [under_way.request.id]


def test_a_delivery_is_told_its_attempt_and_its_time(channel: FakeChannel) -> None:
    made = attempt("7")

    outcome = in_this_thread(deliverer_of(channel))(made)

    assert outcome == Outcome(id=made.request.id, attempt=1, outcome="sent")
    ((_, delivery),) = channel.delivered
    assert (delivery.id, delivery.attempt, delivery.timeout, delivery.key) == (made.request.id, 1, 30.0, "7")


def test_no_call_begins_when_the_lease_is_nearly_over(channel: FakeChannel) -> None:
    outcome = in_this_thread(deliverer_of(channel, clock=lambda: 30.1))(attempt("7", deadline=30.0))

    assert (outcome.outcome, outcome.reason) == ("postponed", OUT_OF_TIME)
    assert channel.delivered == []


def test_data_that_does_not_fit_dies_without_a_call(channel: FakeChannel) -> None:
    outcome = in_this_thread(deliverer_of(channel))(attempt("7", defect="Expected `str` - at `$.event`"))

    assert (outcome.outcome, outcome.reason) == ("dead", "Expected `str` - at `$.event`")
    assert channel.delivered == []


@pytest.mark.parametrize("raised", [OSError("down"), SystemExit(3)])
def test_whatever_a_handler_raises_is_the_outcome_of_its_attempt(channel: FakeChannel, raised: BaseException) -> None:
    deliver = in_this_thread(deliverer_of(channel))
    deliver(attempt("7", content="one that succeeds"))
    channel.failures["hello"] = raised

    assert deliver(attempt("7")).outcome == "failed"


def test_an_outcome_says_how_long_its_call_took(channel: FakeChannel) -> None:
    collected = Collected()
    make_deliveries(channel, collected).submit([attempt("7")])

    [outcome] = collected.wait(1)

    assert outcome.seconds > 0


def test_a_delivery_thread_that_ends_is_noticed() -> None:
    ended: SimpleQueue[BaseException] = SimpleQueue()

    async def perform(_attempt: Attempt) -> Outcome:
        raise ZeroDivisionError

    deliveries = Deliveries(perform, Collected(), POLICY, concurrency=1, on_error=ended.put)
    deliveries.submit([attempt("7")])

    assert isinstance(ended.get(timeout=10), ZeroDivisionError)


def test_a_machine_without_more_threads_goes_on_with_those_there_are(
    channel: FakeChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel.hold()
    collected = Collected()
    deliveries = make_deliveries(channel, collected)
    deliveries.submit([attempt("7")])
    assert channel.entered.acquire(timeout=10)
    monkeypatch.setattr(threading.Thread, "start", Mock(side_effect=RuntimeError("can't start new thread")))

    deliveries.submit([attempt("8"), attempt("9")])
    channel.release()

    assert len(collected.wait(3)) == 3


def test_no_thread_is_left_once_all_is_closed(channel: FakeChannel) -> None:
    before, collected = set(threading.enumerate()), Collected()
    deliveries = make_deliveries(channel, collected)
    deliveries.submit([attempt("7")])
    collected.wait(1)
    channel.hold()
    deliveries.submit([attempt("8"), attempt("9")])
    assert channel.entered.acquire(timeout=10)

    deliveries.close(make_router(channel).close)
    channel.release()

    eventually(
        lambda: set(threading.enumerate()) <= before, what="those that rested and the one that called have ended"
    )
