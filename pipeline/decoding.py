"""From bytes to a request: Herald's own records, and those that other producers wrote.

Own records carry Herald's CloudEvents headers and name their message and request. Everything else
on a topic is foreign: it is adopted under an id made from its identity.
"""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from uuid import UUID

import msgspec

from outbox.dates import ANY_TIME, DateError, Dates, check_ahead
from outbox.notification import MAX_NAME
from outbox.payload import PayloadError, check_json
from pipeline.identity import EARLIEST, adoption_id, milliseconds_of
from pipeline.records import Arrival, Request, Undecodable
from pipeline.topic import Topic
from pipeline.topic_ids import TopicIds

MAX_NUMBER = 2**31 - 1  # PostgreSQL's integer
YEAR = 366 * 86_400.0  # seconds
NO_HANDLER = "no handler for the topic"

HeadersByName = dict[str, bytes]


class Decoder:
    """Turns arrivals into requests; one per process, used by one thread.

    `topic_ids` tells which topic a record stands on: offsets repeat after one was re-created, its id does not.
    `max_ahead` bounds the dates of what others wrote, in seconds; `clock` gives seconds since 1970. `read_reach` tells
    up to which date an id finds a partition, in milliseconds since 1970. It asks the database: by the date of a machine
    that is days behind, Herald's own records would seem forged, and be adopted and delivered once more.
    """

    def __init__(  # noqa: PLR0913 - each is another source
        self,
        topics: Mapping[str, Topic],
        *,
        source: str,
        max_bytes: int,
        topic_ids: TopicIds,
        read_reach: Callable[[], int],
        max_ahead: float = YEAR,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._topics = topics
        self._decoders = {name: msgspec.json.Decoder(topic.data) for name, topic in topics.items()}
        self._source = source.encode()
        self._max_bytes = max_bytes
        self._topic_ids = topic_ids
        self._read_reach = read_reach
        self._reach = 0
        self._max_ahead = max_ahead
        self._clock = clock

    def decode(self, arrival: Arrival) -> Request:
        """Raises Undecodable for what can be neither claimed nor adopted, and what its other sources raise."""
        self._topic_ids.note(arrival)
        if arrival.topic not in self._decoders:
            raise Undecodable(NO_HANDLER)
        headers = dict(arrival.headers) if arrival.headers else {}
        if headers.get("ce_source") == self._source:
            named = self._named(headers)
            if named is not None:
                return self._own(arrival, headers, *named)
        return self._foreign(arrival, headers)

    def _named(self, headers: HeadersByName) -> tuple[UUID, int, int] | None:
        """The id, version and request in the headers; None when Herald did not write them."""
        try:
            stream = UUID(headers["ce_subject"].decode())
            version = int(headers["ce_id"].rpartition(b".")[2])
            request = int(headers["ce_request"])
        except (KeyError, ValueError):
            return None
        in_range = 0 < version <= MAX_NUMBER and 0 < request <= MAX_NUMBER
        return (stream, version, request) if in_range and self._reaches(milliseconds_of(stream)) else None

    def _own(self, arrival: Arrival, headers: HeadersByName, stream: UUID, version: int, request: int) -> Request:
        raw, data, defect = None, None, None
        try:
            raw = self._checked(arrival)
            data = self._typed(arrival.topic, raw)
        except Undecodable as error:
            defect = str(error)
        return Request(
            id=stream,
            request=request,
            version=version,
            topic=arrival.topic,
            key=None if arrival.key is None else arrival.key.decode(errors="replace"),
            data=data,
            raw=raw,
            source=self._source.decode(),
            arrival=arrival,
            traceparent=_text(headers.get("traceparent")),
            defect=defect,
            dates=ANY_TIME if defect else self._topics[arrival.topic].dates(data),
        )

    def _foreign(self, arrival: Arrival, headers: HeadersByName) -> Request:
        data = self._typed(arrival.topic, self._checked(arrival))
        return Request(
            id=self._adoption_id(arrival, headers),
            request=1,
            version=None,
            topic=arrival.topic,
            key=self._key(arrival, data),
            data=data,
            raw=bytes(data) if isinstance(data, msgspec.Raw) else msgspec.json.encode(data),
            source=_text(headers.get("ce_source")) or f"kafka:{arrival.topic}/{arrival.partition}/{arrival.offset}",
            arrival=arrival,
            traceparent=_text(headers.get("traceparent")),
            dates=self._dates(arrival.topic, data),
        )

    def _dates(self, topic: str, data: object) -> Dates:
        dates = self._topics[topic].dates(data)
        if dates == ANY_TIME:
            return dates
        try:
            check_ahead(dates, now=datetime.fromtimestamp(self._clock(), UTC), max_ahead=self._max_ahead)
        except DateError as error:
            message = f"{error} - at `$.{error.field}`"
            raise Undecodable(message) from None
        return dates

    def _checked(self, arrival: Arrival) -> bytes:
        if arrival.value is None:
            message = "the record has no value"
            raise Undecodable(message)
        try:
            check_json(arrival.value, max_bytes=self._max_bytes)
        except PayloadError as error:
            message = f"{error} - at `{error.field}`"
            raise Undecodable(message) from None
        return arrival.value

    def _typed(self, topic: str, raw: bytes) -> object:
        try:
            return self._decoders[topic].decode(raw)
        except (msgspec.DecodeError, RecursionError) as error:
            raise Undecodable(str(error)) from None

    def _key(self, arrival: Arrival, data: object) -> str | None:
        key = self._topics[arrival.topic].key(data)
        if key is None and arrival.key is not None:
            key = _text(arrival.key)
            if key is None or len(key) > MAX_NAME:
                message = f"the record's key is not text of at most {MAX_NAME} characters without NUL"
                raise Undecodable(message)
        return key

    def _adoption_id(self, arrival: Arrival, headers: HeadersByName) -> UUID:
        if "ce_id" in headers and "ce_source" in headers:
            # the record's own time differs when its producer sends the event again: only ce_time stays
            when = _milliseconds(headers.get("ce_time"))
            return adoption_id((headers["ce_id"], headers["ce_source"]), timestamp=self._known(when))
        topic = self._topic_ids.find(arrival.topic)
        place = (topic, arrival.partition, arrival.offset, arrival.value or b"")
        return adoption_id(place, timestamp=self._known(arrival.timestamp))

    def _known(self, timestamp: int) -> int:
        """0 for a date that its producer's broken clock has made up: the first partition takes any age."""
        return timestamp if timestamp >= EARLIEST and self._reaches(timestamp) else 0

    def _reaches(self, milliseconds: int) -> bool:
        """Asks again only for what lies beyond the last answer: the reach only grows."""
        if milliseconds > self._reach:
            self._reach = self._read_reach()
        return 0 <= milliseconds <= self._reach


def _text(raw: bytes | None) -> str | None:
    """UTF-8 that PostgreSQL can store, or None."""
    if raw is None or b"\0" in raw:
        return None
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return None


def _milliseconds(ce_time: bytes | None) -> int:
    """0 for what is no date with a time zone."""
    try:
        when = datetime.fromisoformat((ce_time or b"").decode())
        return int(when.timestamp() * 1000) if when.tzinfo else 0
    except (ValueError, OverflowError):
        return 0
