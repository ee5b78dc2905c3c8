"""What callers ask of Herald: one function for each call, the same for both clients."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypedDict, TypeVar, Unpack
from urllib.parse import quote
from uuid import UUID, uuid4

from herald_client.answers import (
    Accepted,
    AcceptedOfMany,
    Cancelled,
    Event,
    Group,
    Message,
    Notification,
    Page,
    Reader,
    Status,
    many,
    one,
    page,
)

T = TypeVar("T")


class RequestOptions(TypedDict, total=False):
    """An own Idempotency-Key, so that a later call repeats this one; `traceparent` of W3C goes along to the handler."""

    idempotency_key: str
    traceparent: str


class Dates(TypedDict, total=False):
    """Not before, not after (a text has RFC 3339's form), and 0 to 9, 9 first, 5 if not given."""

    deliver_at: datetime | str | None
    deliver_by: datetime | str | None
    priority: int | None


class Target(Dates, total=False):
    """Where a notification goes; what is not said, `HERALD_ROUTES` decides."""

    channel: str | None
    address: str | None
    subject: str | None


class NotifyOptions(Target, RequestOptions, total=False):
    """Of notifications."""


class SendOptions(Dates, RequestOptions, total=False):
    """Of messages; those of one `key` are published in order."""

    key: str | None


class _Words(TypedDict):
    event: str
    content: str


class NotificationItem(_Words, Target, total=False):
    """One of many: for `user_id`, or for each of `user_ids`."""

    user_id: str | int
    user_ids: Sequence[str | int]


class Filters(TypedDict, total=False):
    """Which notifications are listed: what is given must fit. `limit` is items of a page, 20 if not given."""

    user_id: str
    event: str
    status: Status
    group: UUID | str
    limit: int
    cursor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Generic[T]):
    """A call, whole: each attempt sends the same bytes under the same key."""

    method: str
    path: str
    read: Reader[T]
    headers: Mapping[str, str]
    body: bytes | None = None
    query: Mapping[str, str | int] | None = None

    @property
    def idempotency_key(self) -> str | None:
        """None where nothing changes."""
        return self.headers.get("idempotency-key")


def notify(user_id: str | int, event: str, content: str, **options: Unpack[NotifyOptions]) -> Request[Accepted]:
    """Accept a notification. Raises HeraldError."""
    return _post("/notifications", one(Accepted), {"user_id": user_id, "event": event, "content": content}, options)


def notify_users(
    user_ids: Sequence[str | int], event: str, content: str, **options: Unpack[NotifyOptions]
) -> Request[list[AcceptedOfMany]]:
    """Accept a group: one for each of up to 1,000 users, all or none, answered in their order. Raises HeraldError."""
    item: dict[str, Any] = {"user_ids": list(user_ids), "event": event, "content": content, **options}
    outer = {name: item.pop(name) for name in RequestOptions.__annotations__ if name in item}
    return _post("/notifications/bulk", many(AcceptedOfMany), {"items": [item]}, outer)


def notify_many(items: Iterable[NotificationItem], **options: Unpack[RequestOptions]) -> Request[list[AcceptedOfMany]]:
    """Accept up to 1,000 notifications, all or none, answered in their order. Raises HeraldError."""
    return _post("/notifications/bulk", many(AcceptedOfMany), {"items": list(items)}, options)


def send(topic: str, data: Mapping[str, Any], **options: Unpack[SendOptions]) -> Request[Accepted]:
    """Accept a message of a registered topic; `data` is a JSON object. Raises HeraldError."""
    return _post("/messages", one(Accepted), {"topic": topic, "data": data}, options)


def cancel(message_id: UUID | str, **options: Unpack[RequestOptions]) -> Request[Cancelled]:
    """Take a message or notification back. Raises ConflictError where it is too late, and HeraldError."""
    return _post(f"/messages/{_part(message_id)}/cancel", one(Cancelled), None, options)


def cancel_group(group_id: UUID | str, **options: Unpack[RequestOptions]) -> Request[Group]:
    """Take back what was not tried yet of a group; all else was too late. Raises HeraldError."""
    return _post(f"/groups/{_part(group_id)}/cancel", one(Group), None, options)


def group(group_id: UUID | str) -> Request[Group]:
    """Count the messages of a group by status. Raises HeraldError."""
    return _get(f"/groups/{_part(group_id)}", one(Group))


def again(message_id: UUID | str, **options: Unpack[RequestOptions]) -> Request[Accepted]:
    """Send what is over again, as a new message. Raises ConflictError where it is not over, and HeraldError."""
    return _post(f"/messages/{_part(message_id)}/again", one(Accepted), None, options)


def notification(notification_id: UUID | str) -> Request[Notification]:
    """Look at a notification. Raises HeraldError."""
    return _get(f"/notifications/{_part(notification_id)}", one(Notification))


def message(message_id: UUID | str) -> Request[Message]:
    """Look at a message of any topic, also at a notification. Raises HeraldError."""
    return _get(f"/messages/{_part(message_id)}", one(Message))


def history(notification_id: UUID | str) -> Request[list[Event]]:
    """What happened to a notification, oldest first. Raises HeraldError."""
    return _get(f"/notifications/{_part(notification_id)}/events", many(Event))


def notifications(**filters: Unpack[Filters]) -> Request[Page[Notification]]:
    """List notifications, newest first; the next page has the same filters and the `cursor` of this one."""
    given: dict[str, Any] = {**filters}
    wanted = {name: value for name, value in given.items() if value is not None}
    return Request(method="GET", path="/notifications", read=page(Notification), headers={}, query=wanted)


def _part(identity: UUID | str) -> str:
    """Of a path, whatever is in it."""
    return quote(str(identity), safe="")


def _get(path: str, read: Reader[T]) -> Request[T]:
    return Request(method="GET", path=path, read=read, headers={})


def _post(path: str, read: Reader[T], body: dict[str, Any] | None, options: Mapping[str, Any]) -> Request[T]:
    more = {**options}
    headers = {"idempotency-key": more.pop("idempotency_key", None) or str(uuid4())}
    if trace := more.pop("traceparent", None):
        headers["traceparent"] = trace
    if body is None:
        return Request(method="POST", path=path, read=read, headers=headers)
    headers["content-type"] = "application/json"
    return Request(method="POST", path=path, read=read, headers=headers, body=encode({**body, **more}))


def encode(value: object) -> bytes:
    """JSON. Raises ValueError for NaN and lone surrogates, TypeError for what is no JSON."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_date).encode()


def _date(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} is not JSON: {value!r}")
