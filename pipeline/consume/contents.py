"""What a record holds, as its topic reads it: JSON that can be stored, its type, its key and its dates."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime

import msgspec

from herald.outbox.message.dates import ANY_TIME, DateError, Dates, check_ahead
from herald.outbox.message.notification import MAX_NAME
from herald.outbox.message.payload import PayloadError, check_json
from herald.pipeline.consume.headers import text
from herald.pipeline.consume.record import Arrival, UndecodableError
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
        """The record's JSON. Raises UndecodableError for what could not be stored."""
        if arrival.value is None:
            raise UndecodableError("the record has no value")
        with _undecodable(PayloadError):
            check_json(arrival.value, max_bytes=self._max_bytes)
        return arrival.value

    def typed(self, topic: str, raw: bytes) -> object:
        """The topic's type of it. Raises UndecodableError where it does not fit."""
        with _undecodable(msgspec.DecodeError, RecursionError):
            return self._decoders[topic].decode(raw)

    def check(self, topic: str, data: object) -> None:
        """Raise UndecodableError for what fits its type and could never be delivered."""
        with _undecodable(ValueError):
            self.topics[topic].check(data)

    def key(self, arrival: Arrival, data: object) -> str | None:
        """What the topic finds in the data, else the record's own. Raises UndecodableError for what is no key."""
        own = self.topics[arrival.topic].key(data)
        raw = arrival.key if own is None else own.encode()
        if raw is None:
            return None
        key = text(raw)
        if key is None or len(key) > MAX_NAME:
            raise UndecodableError(f"the record's key is not text of at most {MAX_NAME} characters without NUL")
        return key

    def dates(self, topic: str, data: object) -> Dates:
        """What the topic finds in the data. Raises UndecodableError for what cannot be kept."""
        dates = self.topics[topic].dates(data)
        if dates != ANY_TIME:
            with _undecodable(DateError):
                check_ahead(dates, now=datetime.fromtimestamp(self._clock(), UTC), max_ahead=self._max_ahead)
        return dates


@contextmanager
def _undecodable(*errors: type[Exception]) -> Iterator[None]:
    """Raise UndecodableError instead of these, naming the field where they do."""
    try:
        yield
    except errors as error:
        field = str(getattr(error, "field", None) or "")
        path = field if field.startswith("$") else f"$.{field}"
        raise UndecodableError(f"{error} - at `{path}`" if field else str(error)) from None
