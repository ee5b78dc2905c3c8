"""One prefix of topics belongs to one Herald: a compacted topic says to which.

The first relay that comes writes a claim, a record with its instance. Of all claims the one that stands lowest holds,
so that of two that are written at once every reader sees the same one win. Each claim has a key of its own: compaction
removes only what was withdrawn, and keeps the order of the rest.
"""

from collections.abc import Callable, Sequence
from threading import Event
from time import monotonic
from uuid import uuid4

import structlog
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from herald.outbox.kafka.clients import ANSWER_TIMEOUT, code, explanation
from herald.outbox.kafka.owner_topic import MAY_NOT, Claim, make_owner_topic, read_claims, write_claims
from herald.outbox.registry import OWNER_TOPIC
from herald.outbox.settings import Settings

PATIENCE = 10.0  # seconds after which what did not answer is asked no more
RETRY = 1.0  # seconds between two tries
FINAL = MAY_NOT | {KafkaError.INVALID_REPLICATION_FACTOR}  # fewer brokers alive than copies: a later term may have more
NEVER = Event()
_told: set[str] = set()
_log = structlog.get_logger()


class OwnedElsewhereError(Exception):
    """The topics belong to another Herald; the text is one sentence that names the cure."""


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
    make_owner_topic(settings, admin, lambda: None)
    claims = read_claims(settings)
    if (owner := _owner(claims)) != replaced:
        whose = f"belong to the Herald {owner}" if owner else "belong to nobody"
        message = f"the topics {_called(settings)} {whose}, not to {replaced}: nothing was changed"
        raise OwnedElsewhereError(message)
    write_claims(settings, {_new_key(): settings.instance.encode()})
    write_claims(settings, {one.key: None for one in claims if one.instance != settings.instance})
    _refuse(settings, _owner(read_claims(settings)))


def _claim(settings: Settings, admin: AdminClient, meanwhile: Callable[[], None]) -> str | None:
    make_owner_topic(settings, admin, meanwhile)
    meanwhile()
    claims = read_claims(settings)
    if not claims:
        meanwhile()
        key = _new_key()
        write_claims(settings, {key: settings.instance.encode()})
        meanwhile()
        claims = read_claims(settings, beyond=key)
        if _owner(claims) != settings.instance:
            write_claims(settings, {key: None})
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
