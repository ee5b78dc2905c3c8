"""What can happen to a message: immutable facts, stored once, never changed.

The stored `type` is `message.<name>` and never changes; the struct here may.
Dates are the database's (`clock_timestamp()`), versions and attempts count from 1.
"""

from datetime import datetime
from typing import Any, ClassVar, Literal
from uuid import UUID

import msgspec

Cause = Literal["accepted", "retry", "outcome unknown", "lost", "topic deleted"]


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """The payload of a stored event."""

    TYPE: ClassVar[str]


class Requested(Event, frozen=True, kw_only=True):
    """Delivery was asked for: the first time by the caller, later by the scheduler."""

    TYPE = "message.requested"
    topic: str
    key: str | None = None
    data: Any
    request: int
    cause: Cause
    traceparent: str | None = None


class Adopted(Event, frozen=True, kw_only=True):
    """Another producer put this on a topic; the record is its first request."""

    TYPE = "message.adopted"
    topic: str
    key: str | None = None
    data: Any
    source: str
    traceparent: str | None = None


class Recovered(Event, frozen=True, kw_only=True):
    """Kafka had this request, the database did not (a fail-over lost it): appended back."""

    TYPE = "message.recovered"
    topic: str
    key: str | None = None
    data: Any
    request: int
    traceparent: str | None = None


class Started(Event, frozen=True, kw_only=True):
    """An attempt began; it belongs to its claimer until the lease ends."""

    TYPE = "message.started"
    attempt: int
    lease_until: datetime


class Sent(Event, frozen=True, kw_only=True):
    """The channel took it."""

    TYPE = "message.sent"
    attempt: int


class Failed(Event, frozen=True, kw_only=True):
    """The attempt failed and another is due at a date."""

    TYPE = "message.failed"
    attempt: int
    reason: str
    due_at: datetime


class DeadLettered(Event, frozen=True, kw_only=True):
    """Nothing more is tried until a person says so."""

    TYPE = "message.dead_lettered"
    attempt: int
    reason: str


class Rejected(Event, frozen=True, kw_only=True):
    """Kafka refused the record for good (too large, not authorised, invalid)."""

    TYPE = "message.rejected"
    reason: str


class Late(Event, frozen=True, kw_only=True):
    """An outcome that came after a newer attempt or a final state: noted, without effect."""

    TYPE = "message.late"
    attempt: int
    outcome: Literal["sent", "failed", "dead"]
    reason: str | None = None


TYPES: dict[str, type[Event]] = {kind.TYPE: kind for kind in Event.__subclasses__()}


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """An event where it stands in the log."""

    stream_id: UUID
    version: int
    event: Event
    transaction_id: int
    recorded_at: datetime
