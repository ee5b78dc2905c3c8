"""From a decoded body to what the committer accepts; what the types cannot say is checked here."""

from collections.abc import Iterator
from datetime import UTC, datetime
from http import HTTPStatus
from uuid import UUID

import msgspec
from uuid_utils.compat import uuid7

from herald.api.http.bodies import decode, field_name
from herald.api.http.problems import ProblemError, field_problem
from herald.api.shapes.requests import MAX_BULK, Bulk, BulkItem, MessageRequest
from herald.outbox.desk.editing import EditError, checked_edit
from herald.outbox.destination.check import TargetError, check_target
from herald.outbox.message.dates import ANY_TIME, DateError, Dates, check_dates
from herald.outbox.message.notification import MAX_NAME, TOPIC, Notification
from herald.outbox.moves.accept import Acceptance, make_acceptance
from herald.outbox.moves.decide import Edit
from herald.outbox.registry import TOPICS, registered_topics
from herald.outbox.settings import Settings

_encode = msgspec.json.Encoder().encode
_SHARED = [name for name in Notification.__struct_fields__ if name != "user_id"]  # what all users of an item get


def request_notification(
    notification: Notification,
    settings: Settings,
    *,
    traceparent: str | None,
    within: str = "$",
    group_id: UUID | None = None,
) -> Acceptance:
    """Accept one notification. Raises ProblemError naming the field below the path `within`."""
    key, dates = notification.key, notification.dates
    if len(key) > MAX_NAME:  # digits of an integer: the type bounds only text
        raise field_problem(field_name(f"{within}.user_id"), f"{len(key)} digits, the limit is {MAX_NAME}")
    try:
        check_target(notification, settings)
        _check_dates(dates, settings)
    except (TargetError, DateError) as error:
        raise _wrong(error, within) from None
    return make_acceptance(TOPIC, key, _encode(notification), traceparent=traceparent, dates=dates, group_id=group_id)


def request_bulk(bulk: Bulk, settings: Settings, *, traceparent: str | None) -> list[Acceptance]:
    """Accept every notification of a bulk, in order.

    HERALD_MAX_BULK_BODY bounds their data after expansion: one long text for 1,000 users would be a gigabyte.
    Raises ProblemError naming the item.
    """
    acceptances: list[Acceptance] = []
    together = uuid7() if sum(not one.user_ids for one in bulk.items) > 1 else None
    size, max_bytes = 0, settings.max_bulk_body
    for path, group_id, notification in _expanded(bulk):
        if len(acceptances) == MAX_BULK:
            detail = f"more than {MAX_BULK} notifications once every user_ids is expanded, the limit is {MAX_BULK}"
            raise field_problem("items", detail)
        accepted = request_notification(
            notification, settings, traceparent=traceparent, within=path, group_id=group_id or together
        )
        size += accepted.size
        if size > max_bytes:
            detail = f"the notifications up to here exceed {max_bytes} bytes once every user_ids is expanded"
            raise field_problem(field_name(path), detail, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        acceptances.append(accepted)
    return acceptances


def request_message(message: MessageRequest, settings: Settings, *, traceparent: str | None) -> Acceptance:
    """Accept one message on any registered topic. Raises ProblemError naming the field."""
    if message.topic not in TOPICS and message.topic not in registered_topics():
        detail = f"no such topic: {message.topic}; registered: {', '.join(registered_topics())}"
        raise field_problem("topic", detail)
    data = bytes(message.data)
    if not data.lstrip().startswith(b"{"):
        raise field_problem("data", "must be a JSON object")
    if message.topic != TOPIC:
        try:
            _check_dates(message.dates, settings)
        except DateError as error:
            raise _wrong(error, "$") from None
        return make_acceptance(message.topic, message.key, data, traceparent=traceparent, dates=message.dates)
    for field in ("deliver_at", "deliver_by", "priority"):
        if getattr(message, field) is not None:
            raise field_problem(field, f"belongs into data on the topic {TOPIC}")
    notification = decode(data, Notification, within="$.data")
    if message.key not in {None, notification.key}:
        raise field_problem("key", f"must be data.user_id ({notification.key}) or absent on the topic {TOPIC}")
    return request_notification(notification, settings, traceparent=traceparent, within="$.data")


def check_edit(topic: str, key: str | None, data: bytes, settings: Settings) -> Edit:
    """New data for a dead letter. Raises ProblemError naming the field below `data`."""
    if topic == TOPIC:
        decode(data, Notification, within="$.data")  # its errors name a missing field as callers know it
    try:
        raw, new_key = checked_edit(topic, key, data, settings)
    except EditError as error:
        raise field_problem(f"data.{error.field}".rstrip("."), error.detail) from None
    return Edit(msgspec.Raw(raw), new_key)


def _check_dates(dates: Dates, settings: Settings) -> None:
    if dates != ANY_TIME:
        check_dates(dates, now=datetime.now(UTC), max_ahead=settings.max_ahead)


def _wrong(error: TargetError | DateError, within: str) -> ProblemError:
    return field_problem(field_name(f"{within}.{error.field}"), str(error))


def _expanded(bulk: Bulk) -> Iterator[tuple[str, UUID | None, Notification]]:
    for index, item in enumerate(bulk.items):
        path, group_id = f"$.items[{index}]", uuid7() if item.user_ids else None
        shared = {name: getattr(item, name) for name in _SHARED}
        for user_id in _users(item, path):
            yield path, group_id, Notification(user_id=user_id, **shared)


def _users(item: BulkItem, path: str) -> list[str | int]:
    match item.user_id, item.user_ids:
        case str() | int() as user_id, msgspec.UnsetType():
            return [user_id]
        case msgspec.UnsetType(), list() as user_ids:
            seen: set[str] = set()
            for index, user_id in enumerate(user_ids):
                if str(user_id) in seen:
                    raise field_problem(field_name(f"{path}.user_ids[{index}]"), f"user {user_id} stands there twice")
                seen.add(str(user_id))
            return user_ids
    raise field_problem(field_name(path), "takes either user_id or user_ids")
