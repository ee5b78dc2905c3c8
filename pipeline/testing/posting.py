"""What callers post, checked as the API checks it. Everything it would refuse raises ValueError naming the field."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar

import msgspec
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class with a lower-case name

from herald.outbox.destination.check import TargetError, check_target
from herald.outbox.message.dates import DateError, Dates, check_dates
from herald.outbox.message.notification import TOPIC, Date, Name, Notification, Priority
from herald.outbox.message.payload import PayloadError, check_json
from herald.outbox.moves.accept import Acceptance, accept, make_acceptance
from herald.outbox.postgres.notify import CHANNEL
from herald.outbox.registry import TOPICS
from herald.outbox.settings import Settings

T = TypeVar("T")
_encode = msgspec.json.Encoder().encode


class Posted(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What `POST /messages` takes beside topic and data."""

    key: Name | None = None
    deliver_at: Date | None = None
    deliver_by: Date | None = None
    priority: Priority | None = None

    @property
    def dates(self) -> Dates:
        """When it is to be delivered."""
        return Dates(deliver_at=self.deliver_at, deliver_by=self.deliver_by, priority=self.priority)


def make_message(
    topic: str, data: object, fields: Mapping[str, Any], settings: Settings, *, now: datetime
) -> Acceptance:
    """A message for a registered topic."""
    if topic == TOPIC:
        raise _refused("topic", f"a notification has fields of its own, use notify() for {TOPIC}")
    if topic not in TOPICS:
        raise _refused("topic", f"no such topic: {topic}; registered: {', '.join(TOPICS)}")
    raw = _encode(data)
    if not raw.startswith(b"{"):
        raise _refused("data", f"must be a JSON object, this is {raw[:40].decode()}")
    try:
        check_json(raw, max_bytes=settings.max_body)
    except PayloadError as error:
        raise _refused("data", f"{error} at {error.field}") from None
    posted = _typed(fields, Posted)
    _check_dates(posted.dates, settings, now)
    return make_acceptance(topic, posted.key, raw, dates=posted.dates)


def make_notification(fields: Mapping[str, Any], settings: Settings, *, now: datetime) -> Acceptance:
    """A notification."""
    notification = _typed(fields, Notification)
    try:
        check_target(notification, settings)
    except TargetError as error:
        raise _refused(error.field, str(error)) from None
    _check_dates(notification.dates, settings, now)
    return make_acceptance(TOPIC, notification.key, _encode(notification), dates=notification.dates)


def write(connection: Connection, acceptance: Acceptance) -> None:
    """Commit it, and tell the relay. Raises psycopg2.Error."""
    accept(connection, [acceptance])
    connection.commit()
    with connection.cursor() as cursor:
        cursor.execute(f"NOTIFY {CHANNEL}")
    connection.commit()


def _typed(fields: Mapping[str, Any], kind: type[T]) -> T:
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        message = str(error)
        raise ValueError(message) from None


def _check_dates(dates: Dates, settings: Settings, now: datetime) -> None:
    try:
        check_dates(dates, now=now, max_ahead=settings.max_ahead)
    except DateError as error:
        raise _refused(error.field, str(error)) from None


def _refused(field: str, detail: str) -> ValueError:
    return ValueError(f"{field}: {detail}")
