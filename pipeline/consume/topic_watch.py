"""Notices that a topic was made anew under the consumer's feet, which may then read nothing for ever.

librdkafka (2.12) takes no news of a partition whose leader has a lower epoch than the one it knows, and those of a
topic made anew, or of a broker that lost its disk, begin at 0 again (github.com/confluentinc/librdkafka/issues/4898).
Only a consumer that sees the topic missing in between forgets the epoch. A new consumer knows none.
"""

import threading
from collections.abc import Callable, Mapping
from typing import Self

import structlog
from confluent_kafka import KafkaException

from herald.outbox.threads import Thread

LOOK = 2.0  # seconds between two looks at the topics' ids

_log = structlog.get_logger()


class TopicMadeAnewError(Exception):
    """A topic has another id than when the consumer began."""


class TopicWatch:
    """Looks from a thread of its own while its block runs, and calls `on_change` once, from there.

    `read` asks Kafka for the ids by name; the first time at once, and what it raises then passes through. Make the
    consumer afterwards.
    """

    def __init__(
        self,
        read: Callable[[], Mapping[str, str]],
        on_change: Callable[[TopicMadeAnewError], None],
        *,
        interval: float = LOOK,
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
        while not self._stop.wait(self._interval):
            anew = self._look()
            if anew and not self._stop.is_set():
                error = TopicMadeAnewError(f"made anew: {', '.join(anew)}")
                _log.warning("topic_made_anew", reason=str(error), next="ends, to begin with a new consumer")
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
