"""Which dead letters: the same filter for looking, requeuing and discarding."""

from datetime import datetime
from typing import Any, Literal

import msgspec

from herald.outbox.message.dates import in_utc
from herald.outbox.message.notification import Date, Name

ON_DESK = "m.status IN ('dead', 'unknown')"

# What groups reasons that differ in ids, long numbers or the count of attempts only; 200 characters of it.
ERROR = (
    "left(regexp_replace(regexp_replace(coalesce(m.reason, ''), ' \\(attempt \\d+ of \\d+\\)$', ''),"
    " '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\\d{5,}', '#', 'gi'), 200)"
)
CHANNEL = "split_part(m.destination, ':', 1)"

_CONDITIONS = {
    "topic": "m.topic = %(topic)s",
    "channel": f"{CHANNEL} = %(channel)s",
    "destination": "m.destination = %(destination)s",
    "status": "m.status = %(status)s",
    "error": f"{ERROR} = %(error)s",
    "event": "m.event = %(event)s",
    "key": "m.key = %(key)s",
    "since": "m.updated_at >= %(since)s",
    "until": "m.updated_at < %(until)s",
}


class Filter(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """Everything that is given must fit; `since` and `until` say when it came onto the desk."""

    topic: Name | None = None
    channel: Name | None = None
    destination: Name | None = None
    status: Literal["dead", "unknown"] | None = None
    error: Name | None = None
    event: Name | None = None
    key: Name | None = None
    since: Date | None = None
    until: Date | None = None

    def __post_init__(self) -> None:
        """Raises DateError for a date that PostgreSQL would refuse."""
        for field in ("since", "until"):
            if date := getattr(self, field):
                msgspec.structs.force_setattr(self, field, in_utc(field, date))

    @property
    def condition(self) -> str:
        """SQL over the message `m`."""
        return " AND ".join([ON_DESK, *(_CONDITIONS[name] for name in self.values)])

    @property
    def values(self) -> dict[str, Any]:
        """What the condition's parameters are."""
        given: dict[str, str | datetime | None] = {name: getattr(self, name) for name in _CONDITIONS}
        return {name: value for name, value in given.items() if value is not None}
