"""The topic `dead_letters`: what cannot be decoded or stored, with where it came from and why.

A letter must be possible whatever the record holds. What Kafka refuses is sent once more alone, because it refuses
whole batches; then cut; then bare, with nothing but its origin and the beginning of its value. What it refuses even so
is in the process's log, and holds up no other.
"""

from binascii import crc32
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from herald.outbox.kafka.clients import ANSWER_TIMEOUT, own_code
from herald.outbox.message.payload import storable
from herald.outbox.registry import DEAD_LETTERS
from herald.outbox.watched.life import waiting
from herald.outbox.watched.pipeline import DEAD_LETTERED
from herald.pipeline.consume.record import Arrival
from herald.pipeline.errors import OutageError

ANYWHERE = -1  # the producer chooses by the key
ACKNOWLEDGE_TIMEOUT = 30.0  # seconds
MOST_BYTES = 262_144  # of a value that Kafka refused as too large once its origin was added
BARE_BYTES = 16_384  # of a value of which Kafka refused even so much, or the headers beside it
FLUSH_BYTES = 8_388_608  # that are handed to the client before its answers are waited for
# What Kafka, or its client, says of a record itself. Anything else may be an outage, which convicts nobody.
REFUSALS = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.INVALID_MSG,
        KafkaError.INVALID_MSG_SIZE,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.INVALID_RECORD,
        KafkaError.INVALID_TIMESTAMP,
        KafkaError.POLICY_VIOLATION,
        own_code("INVALID_ARG"),
    }
)

Letter = tuple[Arrival, str]
SendLetters = Callable[[Sequence[Letter]], None]

_log = structlog.get_logger()


class Form(NamedTuple):
    """How much of the record a letter has: `most` bytes of its value (None: all), a bare one no key or headers."""

    most: int | None
    is_alone: bool = True
    is_bare: bool = False


FORMS = (Form(None, is_alone=False), Form(None), Form(MOST_BYTES), Form(BARE_BYTES, is_bare=True))


class DeadLetterError(OutageError):
    """Kafka did not acknowledge a dead letter: its record's offset must not be committed."""


class DeadLetters:
    """Sends records away for good, to `topic` as Kafka calls it; `config` is librdkafka's. Used by one thread.

    `timeout` in seconds for Kafka's answer.
    """

    def __init__(
        self, config: dict[str, Any], topic: str = DEAD_LETTERS, *, timeout: float = ACKNOWLEDGE_TIMEOUT
    ) -> None:
        # the limit on size is the broker's to set: the local one would refuse first
        self._producer = Producer(
            {**config, "enable.idempotence": True, "acks": "all", "message.max.bytes": 1_000_000_000}
        )
        self._topic = topic
        self._timeout = timeout
        self._led: list[int] = []  # to choose from, where it matters
        self.count = 0

    def send(self, letters: Sequence[Letter]) -> None:
        """Send these, each with its reason; returns when Kafka acknowledged all that it does not refuse.

        Raises DeadLetterError when it did not in time.
        """
        self._led = self._find_led()
        for form in FORMS:
            letters = self._send_all(letters, form)
            if not letters:
                return
        for arrival, reason in letters:
            _log.error("dead_letter_refused", reason=storable(reason), **arrival.place)

    def _find_led(self) -> list[int]:
        """The partitions that have a leader, where others have none; nothing where each has one, or nobody answers."""
        try:
            found = self._producer.list_topics(self._topic, timeout=ANSWER_TIMEOUT).topics[self._topic].partitions
        except KafkaException:
            return []
        led = sorted(number for number, partition in found.items() if partition.leader >= 0)
        return led if len(led) < len(found) else []

    def _send_all(self, letters: Sequence[Letter], form: Form) -> list[Letter]:
        """Those that Kafka refuses in this form. Raises DeadLetterError."""
        refused: list[Letter] = []
        errors: list[str] = []
        size = 0
        for letter in letters:
            self._produce(letter, form, refused, errors)
            size += letter[0].size
            if form.is_alone or size > FLUSH_BYTES:
                self._await(errors)
                size = 0
        self._await(errors)
        return refused

    def _await(self, errors: Sequence[str]) -> None:
        with waiting(self._timeout):
            left = self._producer.flush(self._timeout)
        if left or errors:
            raise DeadLetterError(f"{left} not acknowledged; {'; '.join(errors[:3])}")

    def _choose(self, key: bytes | None) -> int:
        """One that is led, the same for a key as long as the same are led; the producer's choice where all are."""
        return self._led[crc32(key or b"") % len(self._led)] if self._led else ANYWHERE

    def _produce(self, letter: Letter, form: Form, refused: list[Letter], errors: list[str]) -> None:
        arrival, reason = letter

        def answered(error: KafkaError | None, _message: Message | None = None) -> None:
            if error is None:
                self.count += 1
                DEAD_LETTERED.inc()
                _log.warning("dead_lettered", reason=storable(reason), **arrival.place)
            elif error.code() in REFUSALS:
                refused.append(letter)
            else:
                errors.append(str(error))

        value = None if arrival.value is None else arrival.value[: form.most]
        key = arrival.path.encode() if form.is_bare else arrival.key  # a compacted topic takes none without
        try:
            headers, partition = _headers(arrival, reason, form), self._choose(key)
            self._producer.produce(self._topic, value, key, partition, headers=headers, on_delivery=answered)
        except KafkaException as error:
            answered(cast("KafkaError", error.args[0]))
        except BufferError as error:
            errors.append(str(error))
        except (TypeError, ValueError, OverflowError):
            refused.append(letter)


def _headers(arrival: Arrival, reason: str, form: Form) -> list[tuple[str, str | bytes]]:
    """The origin, and what the record had; not those by which it could forge an origin."""
    origin = {"reason": storable(reason), **arrival.place, "timestamp": arrival.timestamp}
    if form.most is not None:
        origin["cut_to"] = form.most
    if form.is_bare:
        origin["left_out"] = "key and headers"
    headers = [(f"herald_{name}", str(value).encode()) for name, value in origin.items()]
    kept = [] if form.is_bare else [one for one in arrival.headers or () if not one[0].startswith("herald_")]
    return cast("list[tuple[str, str | bytes]]", [*headers, *kept])
