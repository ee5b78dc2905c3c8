"""Topics that were made anew: they have the old name, and offsets that repeat. Kafka does not say it with a record."""

import threading
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Self

import structlog
from confluent_kafka import KafkaException

from herald.outbox.threads import Thread
from herald.outbox.watched.life import came_by, living
from herald.pipeline.consume.record import Arrival
from herald.pipeline.errors import OutageError

PAUSE = 1.0  # seconds between two records of a partition
LOOK = 2.0  # seconds between two looks at the topics' ids
ReadIds = Callable[[], Mapping[str, str]]

_log = structlog.get_logger()


class TopicIds:
    """Tells which topic a record stands on; `read` asks Kafka for the ids by name. Used by one thread.

    The ids are read again where offsets do not go on as they did: at a partition's first record, where one comes
    again, is skipped, or begins anew, and after a pause, in which a topic may have been made anew, and read by another
    member up to where this one goes on.
    """

    def __init__(self, read: ReadIds, *, clock: Callable[[], float] = monotonic) -> None:
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


class TopicMadeAnewError(OutageError):
    """A topic has another id than when the consumer began."""


class TopicWatch:
    """Looks from a thread of its own while its block runs, and calls `on_change` once, from there.

    The consumer may read nothing of a topic made anew, for ever: librdkafka (2.12) takes no news of a partition whose
    leader has a lower epoch than the one it knows, and those of such a topic, or of a broker that lost its disk, begin
    at 0 again (github.com/confluentinc/librdkafka/issues/4898). Only a consumer that sees the topic missing in between
    forgets the epoch. A new consumer knows none.

    `read` asks Kafka for the ids by name; the first time at once, and what it raises then passes through. Make the
    consumer afterwards.
    """

    def __init__(
        self, read: ReadIds, on_change: Callable[[TopicMadeAnewError], None], *, interval: float = LOOK
    ) -> None:
        self._read = read
        self._on_change = on_change
        self._interval = interval
        self._known = read()
        self._stop = threading.Event()
        self._thread = Thread(self._run, "topics")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()  # a look under way may wait for the broker for seconds, and nobody waits for it

    def _run(self) -> None:
        with living("topics"):
            while not self._stop.wait(self._interval):
                came_by()
                anew = self._look()
                if anew and not self._stop.is_set():
                    error = TopicMadeAnewError(f"made anew: {', '.join(anew)}")
                    _log.warning("topic_made_anew", reason=str(error), next="begins anew, with a new consumer")
                    self._on_change(error)
                    return

    def _look(self) -> list[str]:
        """The names of those that have another id now; none while the broker does not answer."""
        try:
            found = self._read()
        except KafkaException as error:
            _log.debug("topic_ids_unknown", reason=str(error))  # the consumer says that the broker is away
            return []
        self._known = {**found, **self._known}
        return sorted(name for name, topic_id in found.items() if self._known[name] != topic_id)
