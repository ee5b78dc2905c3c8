"""What can happen to a message: immutable facts, stored once, never changed.

The stored `type` is `message.<name>` and never changes; the struct here may (outbox/message/upcasting.py).
Dates are the database's (`clock_timestamp()`), versions and attempts count from 1.
"""

from datetime import datetime
from typing import ClassVar, Literal
from uuid import UUID

import msgspec

Cause = Literal["accepted", "scheduled", "retry", "postponed", "lost", "topic deleted", "requeued"]
# Why a message waits, is tried again or has ended: programs decide by it, the reason beside it is for people.
Code = Literal[
    "paused", "busy", "breaker_open", "behind", "queued", "out_of_time", "stopped", "machine_lacks", "not_set_up",
    "lease_ended", "no_answer", "timeout", "connection", "tls", "http_status", "smtp_reply", "refused", "failed",
    "handler_error", "undeliverable", "unstorable_reason", "refused_by_kafka", "convicted", "discarded_by_person",
]  # fmt: skip
DEFAULT_PRIORITY = 5  # 0 to 9, 9 first


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of a stored event; `data` is JSON as it was given: decoding would round large numbers.

    A change of a struct that its stored events do not survive takes the next SCHEMA (outbox/message/upcasting.py).
    """

    TYPE: ClassVar[str]
    SCHEMA: ClassVar[int] = 1


class Requested(Event, frozen=True, kw_only=True):
    """Delivery was asked for: the first time by the caller, later by the scheduler or a person.

    The first request brings the data; a later one names the version of the event that brought it. `actor` asked, where
    that is known (`key:`, `sql:` or `cli:` and a name), perhaps for somebody else; what was asked for together has a
    `group_id`; `again_of` was over, and is sent again as this message. Once a person decides to try again (`requeued`),
    the attempts so far no longer count, nor does `deliver_by`.
    """

    TYPE = "message.requested"
    topic: str
    key: str | None = None
    data: msgspec.Raw = msgspec.Raw()
    data_version: int | None = None
    request: int
    cause: Cause
    deliver_by: datetime | None = None
    priority: int = DEFAULT_PRIORITY
    traceparent: str | None = None
    actor: str | None = None
    on_behalf_of: str | None = None
    group_id: UUID | None = None
    again_of: UUID | None = None


class Scheduled(Event, frozen=True, kw_only=True):
    """Accepted for a later date: nothing is requested before `due_at`."""

    TYPE = "message.scheduled"
    topic: str
    key: str | None = None
    data: msgspec.Raw
    due_at: datetime
    deliver_by: datetime | None = None
    priority: int = DEFAULT_PRIORITY
    traceparent: str | None = None
    actor: str | None = None
    on_behalf_of: str | None = None
    group_id: UUID | None = None


class Adopted(Event, frozen=True, kw_only=True):
    """Another producer put this on a topic; the record is its first request, unless it has a later date."""

    TYPE = "message.adopted"
    topic: str
    key: str | None = None
    data: msgspec.Raw
    source: str
    due_at: datetime | None = None
    deliver_by: datetime | None = None
    priority: int = DEFAULT_PRIORITY
    traceparent: str | None = None


class Recovered(Event, frozen=True, kw_only=True):
    """Kafka had this request, the database did not (a fail-over lost it): appended back."""

    TYPE = "message.recovered"
    topic: str
    key: str | None = None
    data: msgspec.Raw
    request: int
    deliver_by: datetime | None = None
    priority: int = DEFAULT_PRIORITY
    traceparent: str | None = None


class Started(Event, frozen=True, kw_only=True):
    """An attempt began; it belongs to its claimer until the lease ends."""

    TYPE = "message.started"
    attempt: int
    lease_until: datetime
    destination: str | None = None


class Postponed(Event, frozen=True, kw_only=True):
    """Not tried now: paused, its destination fails or is busy, or one before it has to end first.

    `attempt` names an attempt that was claimed and given back without a call: it does not count.
    """

    TYPE = "message.postponed"
    reason: str
    code: str | None = None
    due_at: datetime
    attempt: int | None = None
    destination: str | None = None


class Sent(Event, frozen=True, kw_only=True):
    """The channel took it."""

    TYPE = "message.sent"
    attempt: int


class Failed(Event, frozen=True, kw_only=True):
    """The attempt failed and another is due at a date."""

    TYPE = "message.failed"
    attempt: int
    reason: str
    code: str | None = None
    due_at: datetime


class OutcomeUnknown(Event, frozen=True, kw_only=True):
    """Whether the channel took it is not known: repeated at `due_at`, or held for a person where that is null."""

    TYPE = "message.unknown"
    attempt: int
    reason: str
    code: str | None = None
    due_at: datetime | None = None


class DeadLettered(Event, frozen=True, kw_only=True):
    """Nothing more is tried until a person says so."""

    TYPE = "message.dead_lettered"
    attempt: int
    reason: str
    code: str | None = None


class Rejected(Event, frozen=True, kw_only=True):
    """Kafka refused the record for good (too large, not authorised, invalid)."""

    TYPE = "message.rejected"
    reason: str
    code: str | None = None


class Late(Event, frozen=True, kw_only=True):
    """An outcome that came after a newer attempt or a final state: noted, without effect."""

    TYPE = "message.late"
    attempt: int
    outcome: Literal["sent", "failed", "unknown", "postponed", "dead"]
    reason: str | None = None


class Cancelled(Event, frozen=True, kw_only=True):
    """The caller took it back before any attempt began."""

    TYPE = "message.cancelled"
    actor: str | None = None


class Expired(Event, frozen=True, kw_only=True):
    """Its `deliver_by` passed before it was delivered."""

    TYPE = "message.expired"
    deliver_by: datetime


class Edited(Event, frozen=True, kw_only=True):
    """A person changed the data of a dead letter before trying again."""

    TYPE = "message.edited"
    key: str | None = None
    data: msgspec.Raw
    actor: str | None = None


class Discarded(Event, frozen=True, kw_only=True):
    """A person gave it up for good."""

    TYPE = "message.discarded"
    reason: str
    code: str | None = None
    actor: str | None = None


class Carried(Event, frozen=True, kw_only=True):
    """The events before this one left with their partition: it holds the whole state that they led to."""

    TYPE = "message.carried"
    topic: str
    key: str | None
    data: msgspec.Raw
    event: str | None
    traceparent: str | None
    status: str
    request: int
    attempts: int
    reason: str | None
    reason_code: str | None
    due_at: datetime | None
    requested_in: int
    accepted_at: datetime
    updated_at: datetime
    sent_at: datetime | None
    priority: int
    deliver_by: datetime | None
    destination: str | None
    uncounted: int
    unknowns: int = 0  # carried before it was counted: none
    actor: str | None = None
    group_id: UUID | None = None
    again_of: UUID | None = None


TYPES: dict[str, type[Event]] = {kind.TYPE: kind for kind in Event.__subclasses__()}


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """An event where it stands in the log."""

    stream_id: UUID
    version: int
    event: Event
    transaction_id: int
    recorded_at: datetime
