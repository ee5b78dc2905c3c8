"""What no producer can be given: rows that somebody else wrote into the log."""

import re
from functools import lru_cache

from herald.outbox.message.events import Requested
from herald.outbox.relay.reader import Row

_LEGAL = re.compile(r"[A-Za-z0-9._-]{1,249}")  # https://kafka.apache.org/documentation/#topicconfigs
_MOST_REQUESTS = 2**31 - 1  # `messages.request` is an integer


def why_unpublishable(row: Row, on_kafka: str) -> str | None:
    """The reason, where it can be told from the row and its topic's name there; called once per record."""
    _stream, _version, event_type, topic, _key, value, recorded_at, request, _traceparent, _position = row
    if value is None:
        return "its data is not in the log"
    if recorded_at is None:
        return "recorded_at is no date"
    return _why_none_of_these(event_type, topic, on_kafka, request)


@lru_cache(maxsize=1_000)
def _why_none_of_these(event_type: str, topic: str, on_kafka: str, request: str | None) -> str | None:
    """Most records have these in common with others."""
    if not is_legal(topic) or not is_legal(on_kafka):
        return f"no topic of Kafka can have this name: {topic!r:.60}"
    if event_type == Requested.TYPE and not is_request(request):
        return f"a request has a number from 1 on, this one has {request!r:.60}"
    return None


def is_legal(topic: str) -> bool:
    """Whether Kafka allows a topic of this name."""
    return bool(_LEGAL.fullmatch(topic)) and topic not in {".", ".."}


def is_request(text: str | None) -> bool:
    """Whether this is the number of a request, as `messages` counts them."""
    return text is not None and text.isascii() and text.isdecimal() and 0 < int(text[:20]) <= _MOST_REQUESTS
