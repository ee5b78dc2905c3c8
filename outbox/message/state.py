"""The state of a message, and how each event changes it.

`evolve` folded over a stream equals the row in `messages`, column by column: that is what
makes the table a projection that can be dropped and rebuilt.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal, get_args
from uuid import UUID

import msgspec

from herald.outbox.message.events import (
    Adopted,
    Cancelled,
    Carried,
    DeadLettered,
    Discarded,
    Edited,
    Expired,
    Failed,
    Late,
    OutcomeUnknown,
    Postponed,
    Recorded,
    Recovered,
    Rejected,
    Requested,
    Scheduled,
    Sent,
    Started,
)
from herald.outbox.message.notification import event_of

Status = Literal[
    "scheduled", "pending", "sending", "sent", "failed", "unknown", "dead", "cancelled", "expired", "discarded"
]
STATUSES: tuple[Status, ...] = get_args(Status)
FINAL: frozenset[Status] = frozenset({"sent", "unknown", "dead", "cancelled", "expired", "discarded"})  # but for people


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One row of `messages`, and the data that stays in the log, in the event of `data_version`.

    `event` is that of a notification. `request` and `attempts` are counts, dates are the database's.
    `uncounted` of the attempts do not count against the limit: given back untried, or before a person's requeue.
    `unknowns` of the outcomes since then were not known. `destination` is channel and host of the newest claim.
    """

    id: UUID
    topic: str
    key: str | None
    data: msgspec.Raw
    data_version: int
    event: str | None
    traceparent: str | None
    status: Status
    version: int
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
    unknowns: int
    actor: str | None
    group_id: UUID | None
    again_of: UUID | None


COLUMNS = tuple(name for name in Message.__struct_fields__ if name != "data")
Opening = Requested | Scheduled | Adopted | Recovered


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
    if isinstance(event, Carried):
        return _carried(event, recorded)
    if isinstance(event, Opening) and state is None:
        return _opened(event, recorded)
    if state is None:
        message = f"{event.TYPE} cannot be the first event of stream {recorded.stream_id}"
        raise ValueError(message)
    return msgspec.structs.replace(
        state, version=recorded.version, updated_at=recorded.recorded_at, **_changes(state, recorded)
    )


def _opened(event: Opening, recorded: Recorded) -> Message:
    due_at = event.due_at if isinstance(event, Scheduled | Adopted) else None
    if event.data == msgspec.Raw():
        message = f"the first event of stream {recorded.stream_id} has no data"
        raise ValueError(message)
    return Message(
        id=recorded.stream_id,
        topic=event.topic,
        key=event.key,
        data=event.data,
        data_version=recorded.version,
        event=event_of(event.topic, event.data),
        traceparent=event.traceparent,
        status="pending" if due_at is None else "scheduled",
        version=recorded.version,
        request=event.request if isinstance(event, Requested | Recovered) else int(due_at is None),
        attempts=0,
        reason=None,
        reason_code=None,
        due_at=due_at,
        requested_in=recorded.transaction_id,
        accepted_at=recorded.recorded_at,
        updated_at=recorded.recorded_at,
        sent_at=None,
        priority=event.priority,
        deliver_by=event.deliver_by,
        destination=None,
        uncounted=0,
        unknowns=0,
        actor=event.actor if isinstance(event, Requested | Scheduled) else None,
        group_id=event.group_id if isinstance(event, Requested | Scheduled) else None,
        again_of=event.again_of if isinstance(event, Requested) else None,
    )


def _carried(event: Carried, recorded: Recorded) -> Message:
    place = {"id": recorded.stream_id, "version": recorded.version, "data_version": recorded.version}
    return msgspec.convert({**msgspec.structs.asdict(event), **place}, Message)


def _changes(  # noqa: C901, PLR0911, PLR0912 - a case for each event that may follow another
    state: Message, recorded: Recorded
) -> dict[str, Any]:
    match recorded.event:
        case Requested() as event:
            asked = {"status": "pending", "due_at": None, "request": event.request}
            forgiven = {"uncounted": state.attempts, "unknowns": 0, "deliver_by": None}
            return asked | {"requested_in": recorded.transaction_id} | (forgiven if event.cause == "requeued" else {})
        case Started() as event:
            begun = {"status": "sending", "attempts": event.attempt, "due_at": event.lease_until}
            return begun | {"destination": event.destination}
        case Postponed(attempt=None) as event:
            return _why(event) | {"status": "scheduled", "due_at": event.due_at, "destination": event.destination}
        case Postponed() as event:  # an attempt that was given back
            return _why(event) | {"status": "scheduled", "due_at": event.due_at, "uncounted": state.uncounted + 1}
        case Sent():
            ended = {"status": "sent", "due_at": None, "sent_at": recorded.recorded_at}
            return ended | {"reason": None, "reason_code": None}
        case Failed() as event:
            return _why(event) | {"status": "failed", "due_at": event.due_at}
        case OutcomeUnknown() as event:
            status = "unknown" if event.due_at is None else "failed"
            return _why(event) | {"status": status, "due_at": event.due_at, "unknowns": state.unknowns + 1}
        case DeadLettered() | Rejected() as event:
            return _why(event) | {"status": "dead", "due_at": None}
        case Cancelled() | Expired() as event:
            return {"status": "cancelled" if isinstance(event, Cancelled) else "expired", "due_at": None}
        case Edited() as event:
            named = {"data_version": recorded.version, "event": event_of(state.topic, event.data)}
            return {"data": event.data, "key": event.key} | named
        case Discarded() as event:
            return _why(event) | {"status": "discarded"}
        case Late():
            return {}
        case event:
            message = f"{event.TYPE} cannot follow another event"
            raise ValueError(message)


def _why(event: Postponed | Failed | OutcomeUnknown | DeadLettered | Rejected | Discarded) -> dict[str, Any]:
    return {"reason": event.reason, "reason_code": event.code}
