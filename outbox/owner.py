"""One prefix of topics belongs to one Herald: a compacted topic says to which.

The first relay that comes writes a claim, a record with its instance. Of all claims the one that stands lowest holds,
so that of two that are written at once every reader sees the same one win. Each claim has a key of its own: compaction
removes only what was withdrawn, and keeps the order of the rest.
"""

from collections.abc import Callable, Mapping, Sequence
from threading import Event
from time import monotonic
from typing import NamedTuple
from uuid import UUID, uuid4

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from outbox.kafka import ANSWER_TIMEOUT, abandon, answer_to, code, explanation, librdkafka
from outbox.registry import OWNER_TOPIC
from outbox.settings import Settings
from outbox.topic_names import TopicNames

POLL = 0.1  # seconds
PATIENCE = 10.0  # seconds after which what did not answer is asked no more
RETRY = 1.0  # seconds between two tries
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
FINAL = MAY_NOT | {KafkaError.INVALID_REPLICATION_FACTOR}  # fewer brokers alive than copies: a later term may have more
NEVER = Event()
_told: set[str] = set()
_log = structlog.get_logger()


class OwnedElsewhereError(Exception):
    """The topics belong to another Herald; the text is one sentence that names the cure."""


class Claim(NamedTuple):
    """That the topics are this instance's; the lowest offset holds."""

    offset: int
    key: bytes
    instance: str


def find_owner(settings: Settings, admin: AdminClient) -> str | None:
    """The instance whose topics these are; None where nobody has claimed them. Raises KafkaException."""
    if OWNER_TOPIC not in admin.list_topics(timeout=ANSWER_TIMEOUT).topics:
        return None
    return _owner(read_claims(settings))


def refuse_others(settings: Settings, admin: AdminClient, *, stop: Event = NEVER) -> None:
    """For a process that claims nothing; what it cannot know it passes over as `claim` does.

    Raises OwnedElsewhereError, KafkaException where no broker answers.
    """
    _refuse(settings, _known(admin, lambda: find_owner(settings, admin), stop=stop))


def claim(
    settings: Settings, admin: AdminClient, meanwhile: Callable[[], None] = lambda: None, *, stop: Event = NEVER
) -> None:
    """Claim the topics where nobody has; `meanwhile` is called between questions that take up to 5 s each.

    Where Kafka answers, but this one topic may not or cannot be made, read or written, that is said once, and whose the
    topics are is not known. Raises OwnedElsewhereError, KafkaException where no broker answers.
    """
    _refuse(settings, _known(admin, lambda: _claim(settings, admin, meanwhile), meanwhile, stop=stop))


def take_over(settings: Settings, admin: AdminClient, replaced: str) -> None:
    """Take the topics from the instance `replaced`, which has to be their owner.

    Raises OwnedElsewhereError where they are another's, KafkaException.
    """
    _make_topic(settings, admin, lambda: None)
    claims = read_claims(settings)
    if (owner := _owner(claims)) != replaced:
        whose = f"belong to the Herald {owner}" if owner else "belong to nobody"
        message = f"the topics {_called(settings)} {whose}, not to {replaced}: nothing was changed"
        raise OwnedElsewhereError(message)
    _write(settings, {_new_key(): settings.instance.encode()})
    _write(settings, {one.key: None for one in claims if one.instance != settings.instance})
    _refuse(settings, _owner(read_claims(settings)))


def _claim(settings: Settings, admin: AdminClient, meanwhile: Callable[[], None]) -> str | None:
    _make_topic(settings, admin, meanwhile)
    meanwhile()
    claims = read_claims(settings)
    if not claims:
        meanwhile()
        key = _new_key()
        _write(settings, {key: settings.instance.encode()})
        meanwhile()
        claims = read_claims(settings, beyond=key)
        if _owner(claims) != settings.instance:
            _write(settings, {key: None})
    return _owner(claims)


def _owner(claims: Sequence[Claim]) -> str | None:
    return min(claims).instance if claims else None


def _new_key() -> bytes:
    return str(uuid4()).encode()


def _refuse(settings: Settings, owner: str | None) -> None:
    if owner in {None, settings.instance}:
        return
    message = (
        f"the topics {_called(settings)} on Kafka at {settings.kafka_bootstrap_servers} belong to another Herald,"
        f" {owner} (this one is {settings.instance}): give this one another HERALD_TOPIC_PREFIX, or, where that one is"
        f" gone for good, run `herald relay --replace-owner {owner}` once"
    )
    raise OwnedElsewhereError(message)


def _called(settings: Settings) -> str:
    return f"with the prefix `{settings.topic_prefix}`" if settings.topic_prefix else "without a prefix"


def _known(
    admin: AdminClient, ask: Callable[[], str | None], meanwhile: Callable[[], None] = lambda: None, *, stop: Event
) -> str | None:
    """What `ask` says; None where only this topic gives no answer within the patience, which is said once.

    Raises KafkaException where no broker answers, or once `stop` is set.
    """
    deadline = monotonic() + PATIENCE
    while True:
        try:
            owner = ask()
        except KafkaException as error:
            meanwhile()
            if (reason := _why_unknown(admin, error, is_over=monotonic() > deadline)) is not None:
                _tell_unknown(reason)
                return None
            meanwhile()
            if stop.wait(RETRY):
                raise
        else:
            _told.discard(OWNER_TOPIC)
            return owner


def _why_unknown(admin: AdminClient, error: KafkaException, *, is_over: bool) -> str | None:
    """None while another try may help. Raises KafkaException where Kafka as a whole does not answer."""
    if code(error) in FINAL:
        return explanation(error)
    metadata = admin.list_topics(timeout=ANSWER_TIMEOUT)
    if not metadata.brokers:
        raise error
    topic = metadata.topics.get(OWNER_TOPIC)
    if topic is not None and any(partition.leader < 0 for partition in topic.partitions.values()):
        return f"no leader: {explanation(error)}"
    return explanation(error) if is_over else None


def _tell_unknown(reason: str) -> None:
    if OWNER_TOPIC not in _told:
        _told.add(OWNER_TOPIC)
        consequence = "another Herald on the same topics would not be noticed"
        _log.warning("owner_unknown", topic=OWNER_TOPIC, reason=reason, consequence=consequence)


def _make_topic(settings: Settings, admin: AdminClient, meanwhile: Callable[[], None]) -> None:
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
    consumer = Consumer({**librdkafka(settings), **CONSUMER})
    abandon(consumer)
    consumer.assign([TopicNames(settings.topic_prefix).place(OWNER_TOPIC, 0, OFFSET_BEGINNING)])
    claims: dict[bytes, Claim] = {}
    deadline = monotonic() + ANSWER_TIMEOUT
    try:
        while monotonic() < deadline:
            message = consumer.poll(POLL)
            if message is None:
                continue
            if _is_end(message) and (beyond is None or beyond in claims):
                return list(claims.values())
            _note(message, claims)
    finally:
        consumer.unassign()
    raise KafkaException(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001 - librdkafka's name


def _is_end(message: Message) -> bool:
    """Raises KafkaException where it may not be read; any other error passes, or the time does."""
    error = message.error()
    if error is not None and error.code() in MAY_NOT:
        raise KafkaException(error)
    return error is not None and error.code() == KafkaError._PARTITION_EOF  # noqa: SLF001 - librdkafka's name


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


def _write(settings: Settings, records: Mapping[bytes, bytes | None]) -> None:
    """Returns once Kafka has them. Raises KafkaException."""
    failed: list[KafkaError] = []

    def note(error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            failed.append(error)

    producer = Producer({**librdkafka(settings), **PRODUCER})
    abandon(producer)
    for key, value in records.items():
        producer.produce(TopicNames(settings.topic_prefix).on_kafka(OWNER_TOPIC), value, key, 0, on_delivery=note)
    left = producer.flush(ANSWER_TIMEOUT)
    if failed or left:
        raise KafkaException(failed[0] if failed else KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001 - as above
