"""Kafka's records, read from one offset to another without a group, in batches that are not kept."""

from collections.abc import Callable, Sequence
from time import monotonic
from typing import NamedTuple
from uuid import UUID

from confluent_kafka import Consumer, KafkaError, KafkaException, Message

from herald.outbox.kafka.clients import librdkafka, own_code
from herald.outbox.kafka.offsets import Offsets
from herald.outbox.kafka.topic_names import TopicNames
from herald.outbox.operate.audit.looking import Scope
from herald.outbox.settings import Settings

BATCH = 1_000  # records at once
POLL = 0.2  # seconds to wait for a full batch
SILENCE = 15.0  # seconds without a record until Kafka counts as away
MAX_NUMBER = 2**31 - 1  # PostgreSQL's integer
GROUP = "herald-audit"  # librdkafka wants a name; nothing joins it and nothing is committed
_CONSUMER = {
    "group.id": GROUP,
    "enable.auto.commit": False,
    "enable.partition.eof": True,
    "auto.offset.reset": "earliest",
    "queued.max.messages.kbytes": 16_384,  # of what was fetched ahead, in memory
}


class Own(NamedTuple):
    """What Herald's headers say: an event of the log, and the request that it is (None: it is none)."""

    stream: str
    version: int
    type: str
    request: int | None


class Record(NamedTuple):
    """Where it stands, Herald's own part of it (None: another producer wrote it), and the record itself.

    `written` are the headers as they came; None where the client cannot read them.
    """

    topic: str
    partition: int
    offset: int
    written: list[tuple[str, bytes | None]] | None
    headers: dict[str, bytes]
    own: Own | None
    message: Message


See = Callable[[Sequence[Record]], None]


def make_reader(settings: Settings) -> Consumer:
    """A consumer without a group, to be closed at the end."""
    return Consumer({**librdkafka(settings), **_CONSUMER})


def read_records(consumer: Consumer, begin: Offsets, listed: Offsets, see: See, scope: Scope) -> Offsets:
    """Hand over every record from `begin` on; returns the ends up to which was read. Raises KafkaException.

    What carries another instance than this one is not Herald's own, whatever its source.

    A partition is read up to the end that its first answer names, and not to where nothing more comes: under
    load there is always more. The ends that are `listed` count where they are higher. (The embedded broker lists
    the beginning of the last batch.) Records older than the scope are left out: that broker knows
    no times.
    """
    topics = TopicNames(scope.settings.topic_prefix)
    left = {(topic, int(number)): end for topic, numbers in listed.items() for number, end in numbers.items()}
    consumer.assign([topics.place(topic, number, begin.get(topic, {}).get(str(number), 0)) for topic, number in left])
    ends: Offsets = {}
    heard_at, since = monotonic(), scope.first_timestamp
    while left:
        batch = consumer.consume(BATCH, POLL)
        records = [
            _record(one, topics, scope.settings) for one in batch if not _is_end(one) and one.timestamp()[1] >= since
        ]
        if records:
            see(records)
        for one in batch:
            _follow(consumer, one, topics, left, ends)
        heard_at = monotonic() if batch else heard_at
        if monotonic() - heard_at > SILENCE:
            shown = ", ".join(f"{topic}/{number}" for topic, number in left)
            text = f"nothing came for {SILENCE:g} s, not even the end, from {shown}"
            raise KafkaException(KafkaError(KafkaError.REQUEST_TIMED_OUT, text))
    consumer.unassign()
    return ends


def _is_end(message: Message) -> bool:
    """Whether it tells the end of its partition and is no record. Raises KafkaException."""
    error = message.error()
    if error is None:
        return False
    if error.code() != own_code("PARTITION_EOF"):
        raise KafkaException(error)
    return True


def _follow(
    consumer: Consumer, message: Message, topics: TopicNames, left: dict[tuple[str, int], int], ends: Offsets
) -> None:
    """Note the end that a partition's first answer names; pause the partition once it was read up to there."""
    topic, partition, offset = _place(message, topics)
    if (topic, partition) not in left:
        return
    place, numbers = topics.place(topic, partition), ends.setdefault(topic, {})
    if str(partition) not in numbers:
        _, named = consumer.get_watermark_offsets(place, cached=True)
        numbers[str(partition)] = max(named, left[topic, partition], 0)
    # the last offsets may be no records (what a transaction leaves behind): then the broker says that it ends there
    if offset >= numbers[str(partition)] - (message.error() is None):
        del left[topic, partition]
        consumer.pause([place])


def _place(message: Message, topics: TopicNames) -> tuple[str, int, int]:
    return topics.here(str(message.topic())), int(message.partition() or 0), int(message.offset() or 0)


def _record(message: Message, topics: TopicNames, settings: Settings) -> Record:
    written = _headers(message)
    headers = {name: value for name, value in written or [] if value is not None}
    here = settings.instance.encode()
    is_here = not here or headers.get("ce_heraldinstance", here) == here
    mine = own(headers) if is_here and headers.get("ce_source") == settings.source.encode() else None
    return Record(*_place(message, topics), written, headers, mine, message)


def _headers(message: Message) -> list[tuple[str, bytes | None]] | None:
    """As they came. They are asked for once: after an error the client returns a null pointer."""
    try:
        found = message.headers() or []
    except (SystemError, UnicodeDecodeError):  # a name that is no UTF-8
        return None
    return [(name, value.encode() if isinstance(value, str) else value) for name, value in found]


def own(headers: dict[str, bytes]) -> Own | None:
    """The event that Herald's headers name, or None when they name none."""
    try:
        stream, _, version = headers["ce_id"].decode().rpartition(".")
        request = int(headers["ce_request"]) if "ce_request" in headers else None
        found = Own(str(UUID(stream)), int(version), headers["ce_type"].decode(), request)
    except (KeyError, ValueError):
        return None
    return found if 0 < found.version <= MAX_NUMBER else None
