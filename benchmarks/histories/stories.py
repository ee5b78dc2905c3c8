"""What happened to a message: its events, and how long after it was accepted.

Most were sent at once, every thirtieth of them after a failure. A constant number, whatever the size of the log, was
not sent: what people and the scheduler look at is then the same at every size, and what they look through is not.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import cycle
from typing import Any
from uuid import UUID

import msgspec

from herald.outbox.message.events import (
    Cancelled,
    DeadLettered,
    Discarded,
    Event,
    Expired,
    Failed,
    OutcomeUnknown,
    Requested,
    Scheduled,
    Sent,
    Started,
)

LEASE = timedelta(seconds=60)
OPEN = {"dead": 200, "unknown": 20, "scheduled": 30, "failed": 20, "cancelled": 10, "expired": 10, "discarded": 10}
RETRIED = 30  # one of so many was sent at its second attempt
FAR = timedelta(days=360)  # what waits for a date still does so while the log is kept
ERRORS = (
    ("http_status", "HTTP 500 Internal Server Error"),
    ("http_status", "HTTP 410 Gone"),
    ("http_status", "HTTP 422: the field address is missing"),
    ("timeout", "no answer within 30 s"),
    ("connection", "connection refused"),
    ("tls", "certificate has expired"),
)
HOSTS = 4
GROUP = UUID("01a20000-0000-7000-8000-000000000000")
GROUPED = 500  # messages, the first of those that were sent at once
Step = tuple[timedelta, Event]


@dataclass(frozen=True)
class Asked:
    """What a message is asked for with."""

    topic: str
    key: str
    data: msgspec.Raw
    at: datetime
    number: int  # of its kind

    @property
    def destination(self) -> str:
        return f"webhook:host-{self.number % HOSTS}.example"

    @property
    def error(self) -> dict[str, Any]:
        code, reason = ERRORS[self.number % len(ERRORS)]
        return {"code": code, "reason": reason}


def endings(count: int, seed: int) -> Iterator[str]:
    """How each of so many messages stands, evenly spread; the same for the same seed."""
    if count < sum(OPEN.values()):
        message = f"a log has {sum(OPEN.values())} messages at least"
        raise ValueError(message)
    kinds = [kind for kind, many in OPEN.items() for _ in range(many)]
    random.Random(seed).shuffle(kinds)
    places = {(2 * place + 1) * count // (2 * len(kinds)): kind for place, kind in enumerate(kinds)}
    sent = cycle(["retried", *["sent"] * (RETRIED - 1)])
    for number in range(count):
        yield places.get(number) or next(sent)


def story(kind: str, asked: Asked) -> list[Step]:
    """The events of a message that stands so."""
    return STORIES[kind](asked)


def _requested(asked: Asked, **more: Any) -> Step:
    event = Requested(topic=asked.topic, key=asked.key, data=asked.data, request=1, cause="accepted", **more)
    return timedelta(), event


def _started(asked: Asked, after: timedelta, destination: str, attempt: int = 1) -> Step:
    event = Started(attempt=attempt, lease_until=asked.at + after + LEASE, destination=destination)
    return after, event


def _ms(milliseconds: float) -> timedelta:
    return timedelta(milliseconds=milliseconds)


def _sent(asked: Asked) -> list[Step]:
    together = {"group_id": GROUP} if asked.number < GROUPED else {}
    return [_requested(asked, **together), _started(asked, _ms(5), "log"), (_ms(8), Sent(attempt=1))]


def _retried(asked: Asked) -> list[Step]:
    second = Requested(topic=asked.topic, key=asked.key, data_version=1, request=2, cause="retry")
    return [
        *_failed(asked, due_at=asked.at + _ms(900)),
        (_ms(950), second),
        _started(asked, _ms(955), asked.destination, 2),
        (_ms(970), Sent(attempt=2)),
    ]


def _failed(asked: Asked, due_at: datetime | None = None) -> list[Step]:
    due_at = due_at or asked.at + FAR
    failure = Failed(attempt=1, due_at=due_at, **asked.error)
    return [_requested(asked), _started(asked, _ms(5), asked.destination), (_ms(40), failure)]


def _dead(asked: Asked) -> list[Step]:
    death = DeadLettered(attempt=1, **asked.error)
    return [_requested(asked), _started(asked, _ms(5), asked.destination), (_ms(40), death)]


def _discarded(asked: Asked) -> list[Step]:
    decided = Discarded(reason="nobody waits for it", code="discarded_by_person")
    return [*_dead(asked), (timedelta(hours=1), decided)]


def _unknown(asked: Asked) -> list[Step]:
    held = OutcomeUnknown(attempt=1, reason="no outcome before the lease ended", code="lease_ended")
    return [_requested(asked), _started(asked, _ms(5), "email:mail.example"), (LEASE, held)]


def _scheduled(asked: Asked) -> list[Step]:
    due_at = asked.at + FAR + timedelta(hours=asked.number)
    return [(timedelta(), Scheduled(topic=asked.topic, key=asked.key, data=asked.data, due_at=due_at))]


def _cancelled(asked: Asked) -> list[Step]:
    return [*_scheduled(asked), (timedelta(minutes=5), Cancelled())]


def _expired(asked: Asked) -> list[Step]:
    deliver_by = asked.at + timedelta(seconds=30)
    ended = Expired(deliver_by=deliver_by)
    return [_requested(asked, deliver_by=deliver_by), (timedelta(seconds=30.1), ended)]


STORIES: dict[str, Callable[[Asked], list[Step]]] = {
    "sent": _sent,
    "retried": _retried,
    "failed": _failed,
    "dead": _dead,
    "discarded": _discarded,
    "unknown": _unknown,
    "scheduled": _scheduled,
    "cancelled": _cancelled,
    "expired": _expired,
}
