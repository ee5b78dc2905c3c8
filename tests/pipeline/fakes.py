"""Doubles for what is outside: destinations and clocks."""

import threading
from collections.abc import Sequence

from herald.outbox.moves.record import Outcome
from herald.pipeline.channel import Delivery, Letter
from herald.pipeline.consume.record import Arrival
from herald.pipeline.deliver.attempt import Attempt


class FakeChannel:
    """Takes everything, unless it was told what to raise for some content; `hold` keeps calls open until `release`."""

    name = "fake"

    def __init__(self) -> None:
        self.delivered: list[tuple[str, Delivery]] = []
        self.failures: dict[str, BaseException] = {}
        self.entered = threading.Semaphore(0)
        self._may_leave = threading.Event()
        self._may_leave.set()

    def hold(self) -> None:
        self._may_leave.clear()

    def release(self) -> None:
        self._may_leave.set()

    def host(self, address: str) -> str:
        return address

    def deliver(self, letter: Letter, delivery: Delivery) -> None:
        self.entered.release()
        assert self._may_leave.wait(10)
        if letter.content in self.failures:
            raise self.failures[letter.content]
        self.delivered.append((letter.content, delivery))

    def close(self) -> None:
        self.release()


class FakeDeadLetters:
    """Keeps what it is sent; a test that clears `is_there` lets it wait."""

    def __init__(self) -> None:
        self.letters: list[tuple[Arrival, str]] = []
        self.is_there = threading.Event()
        self.is_there.set()

    def send(self, letters: Sequence[tuple[Arrival, str]]) -> None:
        self.is_there.wait(10.0)
        self.letters.extend(letters)

    @property
    def reasons(self) -> list[str]:
        return [reason for _, reason in self.letters]


class Collected:
    """Outcomes from the delivery threads."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self._one_more = threading.Semaphore(0)

    def __call__(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        self._one_more.release()

    def wait(self, count: int) -> list[Outcome]:
        """Return once so many more came; 10 s at most."""
        for _ in range(count):
            assert self._one_more.acquire(timeout=10), f"only {self.outcomes}"
        return self.outcomes


async def sent(attempt: Attempt) -> Outcome:
    """Make an attempt that succeeds at once."""
    return Outcome(id=attempt.request.id, attempt=attempt.number, outcome="sent")
