"""Which topic a record stands on: one that was made anew has the old name, and offsets that repeat.

Kafka does not say it with a record. So its ids are read again where offsets do not go on as they did: at a
partition's first record, where one comes again, is skipped, or begins anew, and after a pause, in which a topic
may have been made anew, and read by another member up to where this one goes on.
"""

from collections.abc import Callable, Mapping
from time import monotonic

from herald.pipeline.consume.record import Arrival

PAUSE = 1.0  # seconds between two records of a partition


class TopicIds:
    """`read` asks Kafka for the ids by name; used by one thread."""

    def __init__(self, read: Callable[[], Mapping[str, str]], *, clock: Callable[[], float] = monotonic) -> None:
        self._read = read
        self._clock = clock
        self._ids: Mapping[str, str] = {}
        self._following: dict[tuple[str, int], tuple[int, float]] = {}
        self._is_stale = True

    def note(self, arrival: Arrival) -> None:
        """Look at every record, in the order in which they come."""
        place, now = (arrival.topic, arrival.partition), self._clock()
        offset, seen_at = self._following.get(place, (-1, now))
        if offset != arrival.offset or now - seen_at > PAUSE:
            self._is_stale = True
        self._following[place] = (arrival.offset + 1, now)

    def find(self, topic: str) -> str:
        """The id of the topic on which the record noted last stands. Raises what `read` raises."""
        if self._is_stale:
            self._ids = self._read()
            self._is_stale = False
        return self._ids.get(topic, topic)
