"""The topic `dead_letters`: what cannot be decoded or stored, with where it came from and why."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from outbox.registry import DEAD_LETTERS
from pipeline.records import Arrival
from pipeline.retry import storable

ACKNOWLEDGE_TIMEOUT = 30.0  # seconds
MOST_BYTES = 262_144  # of a value that Kafka refused as too large once its origin was added

Bury = Callable[[Sequence[tuple[Arrival, str]]], None]

_log = structlog.get_logger()


class DeadLetterError(Exception):
    """Kafka did not acknowledge a dead letter: its record's offset must not be committed."""


class DeadLetters:
    """Sends records away for good; `config` is librdkafka's, `timeout` in seconds for Kafka's answer."""

    def __init__(self, config: dict[str, Any], *, timeout: float = ACKNOWLEDGE_TIMEOUT) -> None:
        # the limit on size is the broker's to set: the local one would refuse first
        self._producer = Producer(
            {**config, "enable.idempotence": True, "acks": "all", "message.max.bytes": 1_000_000_000}
        )
        self._timeout = timeout
        self._lock = threading.Lock()
        self.count = 0

    def bury(self, letters: Sequence[tuple[Arrival, str]]) -> None:
        """Send these, each with its reason; returns when Kafka acknowledged all.

        Raises DeadLetterError when it did not in time.
        """
        errors: list[str] = []
        with self._lock:
            for arrival, reason in letters:
                self._send(arrival, reason, errors)
            left = self._producer.flush(self._timeout)
        if left or errors:
            message = f"{left} not acknowledged; {'; '.join(errors[:3])}"
            raise DeadLetterError(message)
        self.count += len(letters)

    def _send(self, arrival: Arrival, reason: str, errors: list[str], *, most: int | None = None) -> None:
        def delivered(error: KafkaError | None, _message: Message) -> None:
            if error is None:
                _log.warning("dead_lettered", reason=storable(reason), **_place(arrival))
            elif error.code() == KafkaError.MSG_SIZE_TOO_LARGE and most is None:
                self._send(arrival, reason, errors, most=MOST_BYTES)
            else:
                errors.append(str(error))

        headers: list[tuple[str, str | bytes]] = [*_origin(arrival, reason), *(arrival.headers or [])]
        value = arrival.value if arrival.value is None or most is None else arrival.value[:most]
        if most is not None:
            headers.append(("herald_cut_to", str(most).encode()))
        try:
            self._producer.produce(DEAD_LETTERS, value, arrival.key, headers=headers, on_delivery=delivered)
        except (BufferError, KafkaException) as error:
            errors.append(str(error))


def _place(arrival: Arrival) -> dict[str, Any]:
    return {"topic": arrival.topic, "partition": arrival.partition, "offset": arrival.offset}


def _origin(arrival: Arrival, reason: str) -> list[tuple[str, bytes]]:
    origin = {"reason": storable(reason), **_place(arrival), "timestamp": arrival.timestamp}
    return [(f"herald_{name}", str(value).encode()) for name, value in origin.items()]
