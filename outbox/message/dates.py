"""When a message is to be delivered, as its caller says it, and the bounds of that."""

from datetime import UTC, datetime, timedelta

import msgspec


class Dates(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Not before `deliver_at`; `expired` after `deliver_by`; `priority` among what is due (0 to 9, 9 first).

    A `deliver_at` that has passed means at once: the database's clock decides.
    """

    deliver_at: datetime | None = None
    deliver_by: datetime | None = None
    priority: int | None = None


ANY_TIME = Dates()
OFFSETS = timedelta(hours=16)  # PostgreSQL takes offsets from UTC that are smaller; 23:59 fails the whole statement

# The same for a JSON schema, beside the format `date-time`: no leap second, no year 0, offsets below 16 hours.
DATE_PATTERN = (
    "^(?!0000)[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-5][0-9](\\.[0-9]+)?"
    "([Zz]|[+-](0[0-9]|1[0-5]):[0-5][0-9])$"
)


class DateError(ValueError):
    """A date that cannot be kept; `field` is its name, the text names the limit."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(detail)
        self.field = field


def in_utc(field: str, date: datetime) -> datetime:
    """The same moment, as PostgreSQL takes it for certain. Raises DateError for what no clock shows."""
    if abs(date.utcoffset() or timedelta()) >= OFFSETS:
        raise DateError(field, f"is {date:%z} off UTC, and PostgreSQL takes less than 16 hours")
    try:
        return date.astimezone(UTC)
    except OverflowError:
        raise DateError(field, "lies outside the years 1 to 9999 in UTC") from None


def check_ahead(dates: Dates, *, now: datetime, max_ahead: float) -> None:
    """Refuse what PostgreSQL would, and what lies more than `max_ahead` seconds ahead. Raises DateError."""
    latest = now + timedelta(seconds=max_ahead)
    for field, date in (("deliver_at", dates.deliver_at), ("deliver_by", dates.deliver_by)):
        if date is not None and in_utc(field, date) > latest:
            days = max_ahead / 86400
            raise DateError(field, f"more than {days:g} days ahead, the limit (HERALD_MAX_AHEAD)")


def check_dates(dates: Dates, *, now: datetime, max_ahead: float) -> None:
    """The same, and refuse what could only expire. Raises DateError."""
    check_ahead(dates, now=now, max_ahead=max_ahead)
    if dates.deliver_by is None:
        return
    if dates.deliver_by <= now:
        field, detail = "deliver_by", "has passed already"
        raise DateError(field, detail)
    if dates.deliver_at is not None and dates.deliver_by <= dates.deliver_at:
        field, detail = "deliver_by", "must come after deliver_at"
        raise DateError(field, detail)
