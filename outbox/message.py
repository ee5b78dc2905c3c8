"""The state of a message, and how each event changes it.

`evolve` folded over a stream equals the row in `messages`, column by column: that is what
makes the table a projection that can be dropped and rebuilt.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec

from outbox.events import (
    Adopted,
    DeadLettered,
    Event,
    Failed,
    Late,
    Recorded,
    Recovered,
    Rejected,
    Requested,
    Sent,
    Started,
)

Status = Literal["pending", "sending", "sent", "failed", "dead", "cancelled", "expired"]
STATUSES: tuple[Status, ...] = ("pending", "sending", "sent", "failed", "dead", "cancelled", "expired")
FINAL: frozenset[Status] = frozenset({"sent", "dead", "cancelled", "expired"})


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One row of `messages`; `request` and `attempts` are counts, dates are the database's."""

    id: UUID
    topic: str
    key: str | None
    data: Any
    traceparent: str | None
    status: Status
    version: int
    request: int
    attempts: int
    reason: str | None
    due_at: datetime | None
    requested_in: int
    accepted_at: datetime
    updated_at: datetime
    sent_at: datetime | None


def fold(stream: Iterable[Recorded]) -> Message:
    """Rebuild a message from its events, oldest first. Raises ValueError for an empty stream."""
    state: Message | None = None
    for recorded in stream:
        state = evolve(state, recorded)
    if state is None:
        message = "a stream has at least one event"
        raise ValueError(message)
    return state


def evolve(state: Message | None, recorded: Recorded) -> Message:
    """The state after one more event. Raises ValueError when a stream does not begin with a request."""
    event = recorded.event
    if isinstance(event, Requested | Adopted | Recovered) and state is None:
        return _opened(event, recorded)
    if state is None:
        message = f"{event.TYPE} cannot be the first event of stream {recorded.stream_id}"
        raise ValueError(message)
    return msgspec.structs.replace(
        state, version=recorded.version, updated_at=recorded.recorded_at, **_changes(event, recorded)
    )


def _opened(event: Requested | Adopted | Recovered, recorded: Recorded) -> Message:
    return Message(
        id=recorded.stream_id,
        topic=event.topic,
        key=event.key,
        data=event.data,
        traceparent=event.traceparent,
        status="pending",
        version=recorded.version,
        request=1 if isinstance(event, Adopted) else event.request,
        attempts=0,
        reason=None,
        due_at=None,
        requested_in=recorded.transaction_id,
        accepted_at=recorded.recorded_at,
        updated_at=recorded.recorded_at,
        sent_at=None,
    )


def _changes(event: Event, recorded: Recorded) -> dict[str, Any]:
    match event:
        case Requested():
            requested_in = recorded.transaction_id
            return {"status": "pending", "request": event.request, "due_at": None, "requested_in": requested_in}
        case Started():
            return {"status": "sending", "attempts": event.attempt, "due_at": event.lease_until}
        case Sent():
            return {"status": "sent", "reason": None, "due_at": None, "sent_at": recorded.recorded_at}
        case Failed():
            return {"status": "failed", "reason": event.reason, "due_at": event.due_at}
        case DeadLettered() | Rejected():
            return {"status": "dead", "reason": event.reason, "due_at": None}
        case Late():
            return {}
        case _:
            message = f"{event.TYPE} cannot follow another event"
            raise ValueError(message)
