"""Which topic a record stands on: one that was made anew has the old name, and offsets that repeat.

Kafka does not say it with a record. So its ids are read again where offsets do not go on as they did: at a
partition's first record, and wherever one comes again, is skipped, or begins anew.
"""

from collections.abc import Callable, Mapping

from pipeline.records import Arrival


class TopicIds:
    """`read` asks Kafka for the ids by name; used by one thread."""

    def __init__(self, read: Callable[[], Mapping[str, str]]) -> None:
        self._read = read
        self._ids: Mapping[str, str] = {}
        self._following: dict[tuple[str, int], int] = {}
        self._is_stale = True

    def note(self, arrival: Arrival) -> None:
        """Look at every record, in the order in which they come."""
        place, offset = (arrival.topic, arrival.partition), arrival.offset
        if self._following.get(place) != offset:
            self._is_stale = True
        self._following[place] = offset + 1

    def find(self, topic: str) -> str:
        """The id of the topic on which the record noted last stands. Raises what `read` raises."""
        if self._is_stale:
            self._ids = self._read()
            self._is_stale = False
        return self._ids.get(topic, topic)
