"""From bytes to a request: Herald's own records, and those that other producers wrote.

Own records carry Herald's CloudEvents headers and name their message and request. Everything else
on a topic is foreign: it is adopted under an id made from its identity. A record that names a message
which the database knows is never adopted, whatever source it says: a pipeline whose source is not its
relay's would deliver its own messages again and again under new ids.
"""

import time
from collections.abc import Callable, Mapping
from typing import TypeVar
from uuid import UUID

import msgspec

from herald.outbox.message.dates import ANY_TIME
from herald.pipeline.consume.contents import Contents
from herald.pipeline.consume.headers import (
    INSTANCE,
    MAX_SOURCE,
    HeadersByName,
    Named,
    by_name,
    messages_named,
    milliseconds,
    named,
    nulls,
    text,
    traceparent,
)
from herald.pipeline.consume.identity import EARLIEST, adoption_id, milliseconds_of
from herald.pipeline.consume.record import Arrival, ElsewhereError, Request, SourceError, UndecodableError
from herald.pipeline.consume.topic_ids import TopicIds
from herald.pipeline.topic import Topic

YEAR = 366 * 86_400.0  # seconds
NO_HANDLER = "no handler for the topic"

T = TypeVar("T")


class Decoder:
    """Turns arrivals into requests; one per process, used by one thread.

    `instance` is this Herald's, as its records carry it; None where it is not known. `topic_ids` tells which topic a
    record stands on: offsets repeat after one was re-created, its id does not. `max_ahead` bounds the dates of what
    others wrote, in seconds; `clock` gives seconds since 1970. `is_known` tells whether the database has a message, or
    had it and let it go. `read_latest_date` tells up to which date an id finds a partition, in milliseconds since 1970.
    It asks the database: by the date of a machine that is days behind, Herald's own records would seem forged, and be
    adopted and delivered once more.
    """

    def __init__(  # noqa: PLR0913 - each is another source
        self,
        topics: Mapping[str, Topic],
        *,
        source: str,
        max_bytes: int,
        topic_ids: TopicIds,
        read_latest_date: Callable[[], int],
        is_known: Callable[[UUID], bool],
        instance: str | None = None,
        max_ahead: float = YEAR,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._contents = Contents(topics, max_bytes=max_bytes, max_ahead=max_ahead, clock=clock)
        self._source = source.encode()
        self._instance = None if instance is None else instance.encode()
        self._topic_ids = topic_ids
        self._read_latest_date = read_latest_date
        self._is_known = is_known
        self._latest_date = 0

    def decode(self, arrival: Arrival) -> Request:
        """What the record asks for.

        Raises UndecodableError for what can be neither claimed nor adopted, ElsewhereError for what another Herald
        wrote, and SourceError when what it asks does not answer. Anything else is what nobody foresaw.
        """
        self._topic_ids.note(arrival)
        if arrival.defect is not None:
            raise UndecodableError(arrival.defect)
        if arrival.topic not in self._contents.topics:
            raise UndecodableError(NO_HANDLER)
        headers = by_name(arrival)
        found = named(headers)
        if found is not None and not self._is_possible(milliseconds_of(found.id)):
            found = None  # Herald cannot have made this id
        if self._is_own(headers):
            if missing := nulls(arrival):
                raise UndecodableError(f"a record of Herald's source whose header `{missing[0]}` has no value")
            if found is not None:
                return self._own(arrival, headers, found)
            if headers.get(INSTANCE) == self._instance is not None:
                raise UndecodableError(f"its header `{INSTANCE}` is this Herald's, and it names no message")
        known = next(filter(self._knows, messages_named(arrival)), None)
        if known is None:
            return self._foreign(arrival, headers)
        if found is None or found.id != known:
            raise UndecodableError(f"it names the message {known}, which is Herald's own, and no request of it")
        return self._own(arrival, headers, found)  # the claim looks whether its request still fits

    def _is_own(self, headers: HeadersByName) -> bool:
        """Whether it says that this Herald wrote it. Raises ElsewhereError when another one did."""
        instance = headers.get(INSTANCE)
        if self._instance is None or instance is None:
            return headers.get("ce_source") == self._source
        if instance == self._instance:
            return True
        if named(headers) is None:
            raise UndecodableError(f"its header `{INSTANCE}` is another Herald's, and it names no message")
        raise ElsewhereError

    def _knows(self, message: UUID) -> bool:
        return self._is_possible(milliseconds_of(message)) and self._ask(lambda: self._is_known(message))

    def _own(self, arrival: Arrival, headers: HeadersByName, found: Named) -> Request:
        raw, data, defect, failure = None, None, None, None
        dates = ANY_TIME
        try:
            raw = self._contents.checked(arrival)
            data = self._contents.typed(arrival.topic, raw)
            dates = self._contents.topics[arrival.topic].dates(data)
        except UndecodableError as verdict:
            defect = str(verdict)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the topic's own code raises, its attempt fails of it
            failure = error
        return Request(
            id=found.id,
            request=found.request,
            version=found.version,
            topic=arrival.topic,
            key=None if arrival.key is None else arrival.key.decode(errors="replace"),
            data=data,
            raw=raw,
            source=self._source.decode(),
            arrival=arrival,
            traceparent=traceparent(headers),
            defect=defect,
            error=failure,
            dates=dates,
        )

    def _foreign(self, arrival: Arrival, headers: HeadersByName) -> Request:
        data = self._contents.typed(arrival.topic, self._contents.checked(arrival))
        self._contents.check(arrival.topic, data)
        return Request(
            id=self._adoption_id(arrival, headers),
            request=1,
            version=None,
            topic=arrival.topic,
            key=self._contents.key(arrival, data),
            data=data,
            raw=bytes(data) if isinstance(data, msgspec.Raw) else msgspec.json.encode(data),
            source=text(headers.get("ce_source"), most=MAX_SOURCE) or f"kafka:{arrival.path}",
            arrival=arrival,
            traceparent=traceparent(headers),
            dates=self._contents.dates(arrival.topic, data),
        )

    def _adoption_id(self, arrival: Arrival, headers: HeadersByName) -> UUID:
        if "ce_id" in headers and "ce_source" in headers:
            # the record's own time differs when its producer sends the event again: only ce_time stays
            when = milliseconds(headers.get("ce_time"))
            return adoption_id((headers["ce_id"], headers["ce_source"]), timestamp=self._known(when))
        topic = self._ask(lambda: self._topic_ids.find(arrival.topic))
        place = (topic, arrival.partition, arrival.offset, arrival.value or b"")
        return adoption_id(place, timestamp=self._known(arrival.timestamp))

    def _known(self, timestamp: int) -> int:
        """0 for a date that its producer's broken clock has made up: the first partition takes any age."""
        return timestamp if timestamp >= EARLIEST and self._is_possible(timestamp) else 0

    def _is_possible(self, date: int) -> bool:
        """Whether an id may have this date. Asks again only for what lies beyond the last answer: that only grows."""
        if date > self._latest_date:
            self._latest_date = self._ask(self._read_latest_date)
        return 0 <= date <= self._latest_date

    @staticmethod
    def _ask(source: Callable[[], T]) -> T:
        try:
            return source()
        except Exception as error:
            raise SourceError(f"{type(error).__name__}: {error}") from error
