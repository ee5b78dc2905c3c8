"""Whose fault it is that a handler or a channel raised what nobody foresaw."""

from collections.abc import Callable
from uuid import UUID

import msgspec
import pytest

from herald.outbox.moves.record import Outcome
from herald.pipeline.deliver.attempt import Attempt
from herald.pipeline.deliver.attempting import LONGEST_WAIT, Deliverer
from herald.pipeline.deliver.blame import LATELY, Blame
from herald.pipeline.deliver.failing import Health
from herald.pipeline.topic import Topic
from tests.pipeline.parts import in_this_thread, make_request, make_router, settings
from tests.pipeline.records import new_id

FAR = float("inf")  # a deadline
BROKEN = TypeError("the handler takes no such argument")
Deliver = Callable[[Attempt], Outcome]


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        self.now += 0.001  # no two events at once
        return self.now


def attempt(
    topic: str, *, message: UUID | None = None, number: int = 1, uncounted: int = 0, says: bytes = b"{}"
) -> Attempt:
    request = make_request(id=message or new_id(), topic=topic, data=msgspec.Raw(says), raw=says)
    return Attempt(request, number, FAR, uncounted=uncounted)


class Handlers:
    """Topics whose handlers raise what was told for what they are given; `broken` ones raise for everything."""

    def __init__(self) -> None:
        self.broken: dict[str, BaseException] = {}
        self.poison: dict[bytes, BaseException] = {}

    def make(self, name: str) -> Topic:
        def handle(data: msgspec.Raw, _delivery: object) -> None:
            if error := self.broken.get(name) or self.poison.get(bytes(data)):
                raise error

        return Topic(data=msgspec.Raw, handle=handle)


@pytest.fixture
def handlers() -> Handlers:
    return Handlers()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def deliver(handlers: Handlers, clock: Clock) -> Deliver:
    topics = {name: handlers.make(name) for name in ("orders", "bills")}
    router = make_router(topics=topics, found=settings(max_attempts=3))
    return in_this_thread(Deliverer(router, Health(5), blame=Blame(clock=clock), clock=lambda: 0.0))


def kinds(outcomes: list[Outcome]) -> set[str]:
    return {outcome.outcome for outcome in outcomes}


def test_a_handler_that_raises_for_everything_convicts_nobody_and_burns_no_attempt(
    deliver: Deliver, handlers: Handlers
) -> None:
    deliver(attempt("orders"))
    handlers.broken["orders"] = BROKEN
    messages = [new_id() for _ in range(5)]
    deliver(attempt("orders"))  # the first cannot be told from one that is at fault itself

    found = [
        deliver(attempt("orders", message=message, number=number, uncounted=number - 1))
        for number in range(1, 30)
        for message in messages
    ]

    assert kinds(found) == {"postponed"}
    assert all(0 <= (outcome.retry_in or 0) <= LONGEST_WAIT for outcome in found)
    assert deliver(attempt("bills")).outcome == "sent"


def test_a_message_that_fails_while_others_of_its_kind_succeed_ends_after_its_attempts(
    deliver: Deliver, handlers: Handlers
) -> None:
    handlers.poison[b"bad"] = KeyError("nobody foresaw it")
    message = new_id()

    found = []
    for number in range(1, 4):
        assert deliver(attempt("orders")).outcome == "sent"
        found.append(deliver(attempt("orders", message=message, number=number, says=b"bad")))

    assert [outcome.outcome for outcome in found] == ["failed", "failed", "dead"]
    assert found[-1].reason == "KeyError: 'nobody foresaw it' (attempt 3 of 3)"


def test_a_success_of_another_topic_speaks_for_nobody(deliver: Deliver, handlers: Handlers) -> None:
    handlers.broken["orders"] = BROKEN

    for number in range(1, 9):
        assert deliver(attempt("bills")).outcome == "sent"
        assert deliver(attempt("orders", number=number)).outcome == "postponed"


def test_a_success_long_ago_speaks_for_nobody(deliver: Deliver, handlers: Handlers, clock: Clock) -> None:
    deliver(attempt("orders"))
    clock.now += LATELY
    handlers.poison[b"bad"] = BROKEN

    assert deliver(attempt("orders", says=b"bad")).outcome == "postponed"


def test_a_success_after_it_failed_before_speaks_however_long_it_takes(
    deliver: Deliver, handlers: Handlers, clock: Clock
) -> None:
    handlers.poison[b"bad"] = BROKEN
    message = new_id()
    assert deliver(attempt("orders", message=message, says=b"bad")).outcome == "postponed"
    deliver(attempt("orders"))
    clock.now += 10 * LATELY

    assert deliver(attempt("orders", message=message, number=2, uncounted=1, says=b"bad")).outcome == "failed"


def test_a_lack_of_memory_is_no_messages_fault(deliver: Deliver, handlers: Handlers) -> None:
    deliver(attempt("orders"))
    handlers.poison[b"bad"] = MemoryError()

    assert deliver(attempt("orders", says=b"bad")).outcome == "postponed"


def test_above_a_limit_in_a_minute_no_message_is_ended_by_the_same_error(
    deliver: Deliver, handlers: Handlers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("herald.outbox.postgres.conviction.MOST_CONVICTIONS", 2)
    handlers.poison[b"bad"] = BROKEN

    found = []
    for _ in range(4):
        deliver(attempt("orders"))
        found.append(deliver(attempt("orders", number=9, says=b"bad")).outcome)

    assert found == ["dead", "dead", "postponed", "postponed"]


def test_a_destination_that_is_away_is_foreseen_and_counts(deliver: Deliver, handlers: Handlers) -> None:
    handlers.broken["orders"] = ConnectionRefusedError("down")

    assert [deliver(attempt("orders", number=number)).outcome for number in (1, 3)] == ["failed", "dead"]


def test_an_error_that_cannot_even_be_judged_postpones(deliver: Deliver, handlers: Handlers) -> None:
    class StrangeError(Exception):
        def __str__(self) -> str:
            raise self

    handlers.broken["orders"] = StrangeError()

    assert deliver(attempt("orders")).outcome == "postponed"


def test_what_a_topics_own_code_raised_before_is_its_attempts_failure(deliver: Deliver) -> None:
    before = attempt("orders")
    broken = msgspec.structs.replace(before, request=msgspec.structs.replace(before.request, error=BROKEN))

    assert deliver(broken).outcome == "postponed"
    deliver(attempt("orders"))
    assert deliver(msgspec.structs.replace(broken, number=2, uncounted=1)).outcome == "failed"
