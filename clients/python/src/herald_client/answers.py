"""What Herald answers, typed; what a newer Herald says besides is left out."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Literal, TypeAlias, TypeVar, get_args, get_type_hints
from uuid import UUID

T = TypeVar("T")
Json: TypeAlias = dict[str, Any]  # an object, decoded
Reader: TypeAlias = Callable[[Json], T]  # raises KeyError, TypeError or ValueError where it is not the expected one
Status = Literal[
    "scheduled", "pending", "sending", "sent", "failed", "unknown", "dead", "cancelled", "expired", "discarded"
]
_READ: dict[Any, Callable[[str], Any]] = {UUID: UUID, datetime: datetime.fromisoformat}


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """It is committed; `scheduled` where its `deliver_at` had not passed."""

    id: UUID
    status: Literal["pending", "scheduled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedOfMany(Accepted):
    """One of many; what several users are told has a `group`."""

    group: UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """Nothing will be delivered."""

    id: UUID
    status: Literal["cancelled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What notifications and messages have alike.

    `due_at` is the next attempt's date, or the end of the current one's lease. `again_of` was over, and was sent again
    as this one.
    """

    id: UUID
    status: Status
    attempts: int
    reason: str | None
    reason_code: str | None
    due_at: datetime | None
    deliver_by: datetime | None
    priority: int
    destination: str | None
    group: UUID | None
    updated_at: datetime
    sent_at: datetime | None
    again_of: UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification(State):
    """As it stands."""

    user_id: str
    event: str
    content: str | None  # where the key may not read it
    channel: str
    address: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Message(State):
    """Of any topic, as it stands; `request` counts how often delivery was asked for.

    `sent_again` are the messages that it was sent again as.
    """

    topic: str
    key: str | None
    data: Json | None  # where the key may not read it
    request: int
    accepted_at: datetime
    sent_again: list[UUID]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """What several users were told: how many messages there are, in all and in each status."""

    id: UUID
    total: int
    counts: dict[Status, int]
    accepted_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Of a history: `version` counts from 1, `type` is `message.requested` and the like."""

    version: int
    type: str
    recorded_at: datetime
    data: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """`cursor` leads to the next page, and is None on the last one."""

    items: list[T]
    cursor: str | None


def one(kind: type[T]) -> Reader[T]:
    """Reads an object."""

    def read(given: Json) -> T:
        return kind(**{name: _value(wanted, given[name]) for name, wanted in get_type_hints(kind).items()})

    return read


def many(kind: type[T]) -> Reader[list[T]]:
    """Reads `items`."""
    return lambda given: [one(kind)(item) for item in given["items"]]


def page(kind: type[T]) -> Reader[Page[T]]:
    """Reads a page of a list."""
    return lambda given: Page(items=many(kind)(given), cursor=given["cursor"])


def _value(wanted: type, given: object) -> object:
    if isinstance(given, list):
        (kind,) = get_args(wanted)
        return [_value(kind, item) for item in given]
    read = next((_READ[kind] for kind in (wanted, *get_args(wanted)) if kind in _READ), None)
    return read(str(given)) if read and given is not None else given
