"""What Kafka says of a producer, or of a topic, that ends a stretch of publishing."""

import structlog
from confluent_kafka import KafkaError

from herald.outbox.relay.errors import (
    NO_TOPIC_NOW,
    REFUSED_FOR_GOOD,
    BatchRefusedError,
    FatalProducerError,
    PublishError,
    WithheldError,
)
from herald.outbox.relay.withheld import WHOLE, Part

_log = structlog.get_logger()


class Trouble:
    """The first of what was said; topics that are not there now are told together."""

    def __init__(self) -> None:
        self._first: Exception | None = None
        self._unavailable: dict[Part, str] = {}

    def note(self, error: KafkaError, topic: str) -> None:
        """Said of a record of this topic."""
        if error.code() in REFUSED_FOR_GOOD:
            self._first = self._first or BatchRefusedError(error.str())
        elif error.code() in NO_TOPIC_NOW:
            self._unavailable[Part(topic, WHOLE, 0)] = error.str()
            self._first = self._first or WithheldError(self._unavailable)
        else:
            self._first = self._first or (FatalProducerError if error.fatal() else PublishError)(error.str())

    def note_of_producer(self, error: KafkaError) -> None:
        """Said of the producer itself; all but what is fatal it mends."""
        if error.fatal():
            self._first = FatalProducerError(error.str())
        else:
            _log.warning("kafka_trouble", reason=error.str())

    def raise_any(self) -> None:
        """Raises what was noted: BatchRefusedError, WithheldError, PublishError or FatalProducerError."""
        if self._first is not None:
            raise self._first
