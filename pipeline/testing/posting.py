"""What callers post, checked as the API checks it. Everything it would refuse raises ValueError naming the field."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import msgspec

from herald.outbox.destination.check import TargetError, check_target
from herald.outbox.message.dates import DateError, Dates, check_dates
from herald.outbox.message.notification import TOPIC, Date, Name, Notification, Priority
from herald.outbox.message.payload import PayloadError, check_json
from herald.outbox.moves.accept import Acceptance, make_acceptance
from herald.outbox.registry import TOPICS
from herald.outbox.settings import Settings

_encode = msgspec.json.Encoder().encode


class Posted(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What `POST /messages` takes beside topic and data."""

    key: Name | None = None
    deliver_at: Date | None = None
    deliver_by: Date | None = None
    priority: Priority | None = None


def make_message(
    topic: str, data: object, fields: Mapping[str, Any], settings: Settings, *, now: datetime
) -> Acceptance:
    """A message for a registered topic."""
    raw, detail = _encode(data), ""
    if topic == TOPIC:
        detail = f"topic: a notification has fields of its own, use notify() for {TOPIC}"
    elif topic not in TOPICS:
        detail = f"topic: no such topic: {topic}; registered: {', '.join(TOPICS)}"
    elif not raw.startswith(b"{"):
        detail = f"data: must be a JSON object, this is {raw[:40].decode()}"
    if detail:
        raise ValueError(detail)
    with _naming_fields():
        check_json(raw, max_bytes=settings.max_body)
        posted = msgspec.convert(fields, Posted)
        dates = Dates(deliver_at=posted.deliver_at, deliver_by=posted.deliver_by, priority=posted.priority)
        check_dates(dates, now=now, max_ahead=settings.max_ahead)
    return make_acceptance(topic, posted.key, raw, dates=dates)


def make_notification(fields: Mapping[str, Any], settings: Settings, *, now: datetime) -> Acceptance:
    """A notification."""
    with _naming_fields():
        notification = msgspec.convert(fields, Notification)
        check_target(notification, settings)
        check_dates(notification.dates, now=now, max_ahead=settings.max_ahead)
    return make_acceptance(TOPIC, notification.key, _encode(notification), dates=notification.dates)


@contextmanager
def _naming_fields() -> Iterator[None]:
    """In the text of each error; msgspec's has it already."""
    try:
        yield
    except PayloadError as error:
        message = f"data: {error} at {error.field}"
        raise ValueError(message) from None
    except (TargetError, DateError) as error:
        message = f"{error.field}: {error}"
        raise ValueError(message) from None
