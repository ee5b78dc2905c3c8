"""What a record holds, as its topic reads it: JSON that can be stored, its type, its key and its dates."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import msgspec

from herald.outbox.message.dates import ANY_TIME, DateError, Dates, check_ahead
from herald.outbox.message.notification import MAX_NAME
from herald.outbox.message.payload import PayloadError, check_json
from herald.pipeline.consume.headers import text
from herald.pipeline.consume.record import Arrival, Undecodable
from herald.pipeline.topic import Topic


class Contents:
    """Reads values by the topics' own types and functions; what those raise passes through.

    `max_ahead` bounds dates, in seconds; `clock` gives seconds since 1970.
    """

    def __init__(
        self, topics: Mapping[str, Topic], *, max_bytes: int, max_ahead: float, clock: Callable[[], float]
    ) -> None:
        self.topics = topics
        self._decoders = {name: msgspec.json.Decoder(topic.data) for name, topic in topics.items()}
        self._max_bytes = max_bytes
        self._max_ahead = max_ahead
        self._clock = clock

    def checked(self, arrival: Arrival) -> bytes:
        """The record's JSON. Raises Undecodable for what could not be stored."""
        if arrival.value is None:
            raise Undecodable("the record has no value")
        try:
            check_json(arrival.value, max_bytes=self._max_bytes)
        except PayloadError as error:
            raise Undecodable(f"{error} - at `{error.field}`") from None
        return arrival.value

    def typed(self, topic: str, raw: bytes) -> object:
        """The topic's type of it. Raises Undecodable where it does not fit."""
        try:
            return self._decoders[topic].decode(raw)
        except (msgspec.DecodeError, RecursionError) as error:
            raise Undecodable(str(error)) from None

    def check(self, topic: str, data: object) -> None:
        """Raise Undecodable for what fits its type and could never be delivered."""
        try:
            self.topics[topic].check(data)
        except ValueError as error:
            field = getattr(error, "field", None)
            raise Undecodable(f"{error} - at `$.{field}`" if field else str(error)) from None

    def key(self, arrival: Arrival, data: object) -> str | None:
        """What the topic finds in the data, else the record's own. Raises Undecodable for what is no key."""
        own = self.topics[arrival.topic].key(data)
        raw = arrival.key if own is None else own.encode()
        if raw is None:
            return None
        key = text(raw)
        if key is None or len(key) > MAX_NAME:
            raise Undecodable(f"the record's key is not text of at most {MAX_NAME} characters without NUL")
        return key

    def dates(self, topic: str, data: object) -> Dates:
        """What the topic finds in the data. Raises Undecodable for what cannot be kept."""
        dates = self.topics[topic].dates(data)
        if dates == ANY_TIME:
            return dates
        try:
            check_ahead(dates, now=datetime.fromtimestamp(self._clock(), UTC), max_ahead=self._max_ahead)
        except DateError as error:
            raise Undecodable(f"{error} - at `$.{error.field}`") from None
        return dates
