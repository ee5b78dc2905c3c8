"""What a record's headers say: whose it is, and which message and request of it.

Anybody may write them: null, twice, or with any bytes.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from herald.pipeline.consume.record import Arrival

INSTANCE = "ce_heraldinstance"
NAMING = ("ce_subject", "ce_id", "ce_request")
MAX_NUMBER = 2**31 - 1  # PostgreSQL's integer
MAX_SOURCE = 2048  # characters of a source that are kept; whatever its length, it is part of a record's identity
# version, trace id, parent id, flags, with room for later versions: https://www.w3.org/TR/trace-context/
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}(-[0-9a-f]{1,64}){2,6}")

HeadersByName = dict[str, bytes]


class Named(NamedTuple):
    """What Herald's own records name."""

    id: UUID
    version: int
    request: int


def by_name(arrival: Arrival) -> HeadersByName:
    """Those that have a value; of several of one name the last counts."""
    return {name: value for name, value in arrival.headers or () if value is not None}


def nulls(arrival: Arrival) -> list[str]:
    """Which of those that name a message are there without a value."""
    return [name for name, value in arrival.headers or () if value is None and name in NAMING]


def named(headers: HeadersByName) -> Named | None:
    """The message, version and request; None where the headers are not in Herald's form."""
    try:
        stream, _, number = headers["ce_id"].rpartition(b".")
        version, request = int(number), int(headers["ce_request"])
    except (KeyError, ValueError):
        return None
    message = _uuid(headers.get("ce_subject", b""))
    in_range = 0 < version <= MAX_NUMBER and 0 < request <= MAX_NUMBER
    return Named(message, version, request) if message is not None and message == _uuid(stream) and in_range else None


def messages_named(arrival: Arrival) -> Iterator[UUID]:
    """Every message that `ce_subject` or `ce_id` names, also where another header of that name counts."""
    for name, value in arrival.headers or ():
        if value is not None and name in {"ce_subject", "ce_id"}:
            yield from filter(None, (_uuid(value), _uuid(value.rpartition(b".")[0])))


def _uuid(raw: bytes) -> UUID | None:
    try:
        return UUID(raw.decode())
    except ValueError:
        return None


def text(raw: bytes | None, *, most: int | None = None) -> str | None:
    """UTF-8 that PostgreSQL can store, shortened to `most` characters, or None."""
    if raw is None or b"\0" in raw:
        return None
    try:
        return raw.decode()[:most]
    except UnicodeDecodeError:
        return None


def traceparent(headers: HeadersByName) -> str | None:
    """Where the record began, else where what it tells of did; None where it is none: it goes out with a webhook."""
    return _checked(headers.get("traceparent", headers.get("ce_traceparent")))


def origin(headers: HeadersByName) -> str | None:
    """Where what Herald's own record tells of began, as it was stored; earlier releases wrote one for both."""
    return _checked(headers.get("ce_traceparent", headers.get("traceparent")))


def _checked(sent: bytes | None) -> str | None:
    return sent.decode() if sent is not None and _TRACEPARENT.fullmatch(sent) else None


def milliseconds(ce_time: bytes | None) -> int:
    """Since 1970; 0 for what is no date with a time zone."""
    try:
        when = datetime.fromisoformat((ce_time or b"").decode())
        return int(when.timestamp() * 1000) if when.tzinfo else 0
    except (ValueError, OverflowError):
        return 0
