"""What callers post, checked as the API checks it. Everything it would refuse raises ValueError naming the field."""

from collections.abc import Mapping
from datetime import datetime

import msgspec

from herald.outbox.desk.editing import checked_edit
from herald.outbox.message.dates import DateError, Dates, check_dates
from herald.outbox.message.notification import Date, Name, Priority
from herald.outbox.moves.accept import Acceptance, make_acceptance
from herald.outbox.registry import registered_topics
from herald.outbox.settings import Settings


class Posted(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a message has beside topic and data; a notification has its dates among its data, too."""

    key: Name | None = None
    deliver_at: Date | None = None
    deliver_by: Date | None = None
    priority: Priority | None = None


def make_message(
    topic: str, data: object, fields: Mapping[str, object], settings: Settings, *, now: datetime
) -> Acceptance:
    """A message for a registered topic."""
    raw = msgspec.json.encode(data)
    if topic not in registered_topics():
        message = f"topic: no such topic: {topic}; registered: {', '.join(registered_topics())}"
        raise ValueError(message)
    if not raw.startswith(b"{"):
        message = f"data: must be a JSON object, this is {raw[:40].decode()}"
        raise ValueError(message)
    posted = msgspec.convert(fields, Posted)
    raw, key = checked_edit(topic, posted.key, raw, settings)
    dates = Dates(deliver_at=posted.deliver_at, deliver_by=posted.deliver_by, priority=posted.priority)
    try:
        check_dates(dates, now=now, max_ahead=settings.max_ahead)
    except DateError as error:
        message = f"{error.field}: {error}"
        raise ValueError(message) from None
    return make_acceptance(topic, key, raw, dates=dates)
