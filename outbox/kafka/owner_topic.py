"""The compacted topic in which Heralds claim a prefix, and what is written there and read."""

from collections.abc import Callable, Mapping
from time import monotonic
from typing import NamedTuple
from uuid import UUID

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from herald.outbox.kafka.clients import ANSWER_TIMEOUT, answer_to, code, librdkafka, own_code, passing
from herald.outbox.kafka.topic_names import TopicNames
from herald.outbox.registry import OWNER_TOPIC
from herald.outbox.settings import Settings

POLL = 0.1  # seconds
CLUSTERS_DEFAULT = -1  # copies: what default.replication.factor says there
COMPACTED = {"cleanup.policy": "compact"}
CONSUMER = {
    "group.id": "herald-owner",  # librdkafka wants a name; nothing joins it and nothing is committed
    "enable.auto.commit": False,
    "enable.partition.eof": True,
    "fetch.wait.max.ms": 10,  # the end is told once nothing came for so long
}
PRODUCER = {
    "enable.idempotence": True,  # what is sent again after a lost acknowledgement would stand behind another's claim
    "acks": "all",
    "linger.ms": 0,
    "message.timeout.ms": 5_000,
    "allow.auto.create.topics": False,
}
MAY_NOT = frozenset(
    {KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED, KafkaError.POLICY_VIOLATION}
)


class Claim(NamedTuple):
    """That the topics are this instance's; the lowest offset holds."""

    offset: int
    key: bytes
    instance: str


def make_owner_topic(settings: Settings, admin: AdminClient, meanwhile: Callable[[], None]) -> None:
    """Raises KafkaException where it is missing and cannot be made."""
    if OWNER_TOPIC in admin.list_topics(timeout=ANSWER_TIMEOUT).topics:
        return
    meanwhile()
    copies = settings.replication_factor or CLUSTERS_DEFAULT
    wanted = NewTopic(OWNER_TOPIC, 1, copies, config=COMPACTED)
    (made,) = admin.create_topics([wanted], operation_timeout=ANSWER_TIMEOUT).values()
    try:
        answer_to(made)
    except KafkaException as error:
        if code(error) != KafkaError.TOPIC_ALREADY_EXISTS:
            raise


def read_claims(settings: Settings, *, beyond: bytes | None = None) -> list[Claim]:
    """All claims up to the end, which is not reached before the record with the key `beyond`. Raises KafkaException."""
    with passing(Consumer({**librdkafka(settings), **CONSUMER})) as consumer:
        place = TopicNames(settings.topic_prefix).place(OWNER_TOPIC, 0, OFFSET_BEGINNING)
        consumer.list_topics(place.topic, timeout=ANSWER_TIMEOUT)  # unasked, it learns half a second later who leads
        consumer.assign([place])
        try:
            return _read(consumer, beyond)
        finally:
            consumer.unassign()


def _read(consumer: Consumer, beyond: bytes | None) -> list[Claim]:
    claims: dict[bytes, Claim] = {}
    deadline = monotonic() + ANSWER_TIMEOUT
    while monotonic() < deadline:
        message = consumer.poll(POLL)
        if message is None:
            continue
        if _is_end(message) and (beyond is None or beyond in claims):
            return list(claims.values())
        _note(message, claims)
    raise KafkaException(KafkaError(own_code("TIMED_OUT")))


def _is_end(message: Message) -> bool:
    """Raises KafkaException where it may not be read; any other error passes, or the time does."""
    error = message.error()
    if error is not None and error.code() in MAY_NOT:
        raise KafkaException(error)
    return error is not None and error.code() == own_code("PARTITION_EOF")


def _note(message: Message, claims: dict[bytes, Claim]) -> None:
    key, value = message.key(), message.value()
    if message.error() is not None or not isinstance(key, bytes):
        return
    if value is None:
        claims.pop(key, None)
    elif (instance := _instance(value)) is not None:
        claims[key] = Claim(message.offset() or 0, key, instance)


def _instance(value: bytes | str) -> str | None:
    """None for what no Herald has written."""
    try:
        return str(UUID(value.decode() if isinstance(value, bytes) else value))
    except ValueError:
        return None


def write_claims(settings: Settings, records: Mapping[bytes, bytes | None]) -> None:
    """Returns once Kafka has them. Raises KafkaException."""
    failed: list[KafkaError] = []

    def note(error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            failed.append(error)

    with passing(Producer({**librdkafka(settings), **PRODUCER})) as producer:
        for key, value in records.items():
            producer.produce(TopicNames(settings.topic_prefix).on_kafka(OWNER_TOPIC), value, key, 0, on_delivery=note)
        left = producer.flush(ANSWER_TIMEOUT)
        if failed or left:
            raise KafkaException(failed[0] if failed else KafkaError(own_code("TIMED_OUT")))
