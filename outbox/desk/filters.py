"""Which dead letters: the same filter for looking, requeuing and discarding."""

from datetime import datetime
from typing import Any, Literal

import msgspec

from herald.outbox.message.dates import in_utc
from herald.outbox.message.notification import Date, Name

DESK = "unsent AS u JOIN messages AS m ON m.id = u.id"
ON_DESK = "u.status IN ('dead', 'unknown')"
CHANNEL = "split_part(m.destination, ':', 1)"

_CONDITIONS = {
    "topic": "m.topic = %(topic)s",
    "channel": f"{CHANNEL} = %(channel)s",
    "destination": "m.destination = %(destination)s",
    "status": "u.status = %(status)s",
    "error": "u.error = %(error)s",
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
        """SQL over `DESK`."""
        return " AND ".join([ON_DESK, *(_CONDITIONS[name] for name in self.values)])

    @property
    def values(self) -> dict[str, Any]:
        """What the condition's parameters are."""
        given: dict[str, str | datetime | None] = {name: getattr(self, name) for name in _CONDITIONS}
        return {name: value for name, value in given.items() if value is not None}
