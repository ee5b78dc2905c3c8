"""How every process reaches Kafka."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, Literal, TypeVar

import structlog
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from herald.outbox.kafka.topic_names import Admin, TopicNames
from herald.outbox.settings import Settings
from herald.outbox.threads import Thread
from herald.outbox.watched.life import came_by

# Some questions go to the controller, and with KRaft a broker names any broker that lives as such: a client waits for
# one that has died until it learns anew who lives, by default after five minutes (librdkafka 2.12).
ADMIN = {"topic.metadata.refresh.interval.ms": 1_000}
ANSWER_TIMEOUT = 5.0  # seconds until a broker that does not answer counts as away
_log = structlog.get_logger()
ANSWERED = 0.5  # seconds until one that is of no more use is destroyed: it holds a dozen descriptors
DESTROY_AFTER = 60.0  # seconds; by then nobody, and no error that was raised, refers to a client that was given up
C = TypeVar("C")
T = TypeVar("T")


OwnCode = Literal[
    "ALL_BROKERS_DOWN",
    "DESTROY",
    "FAIL",
    "INVALID_ARG",
    "MSG_TIMED_OUT",
    "PARTITION_EOF",
    "RESOLVE",
    "TIMED_OUT",
    "TIMED_OUT_QUEUE",
    "TRANSPORT",
    "UNKNOWN_PARTITION",
    "UNKNOWN_TOPIC",
    "UNSUPPORTED_FEATURE",
    "WAIT_COORD",
]


def own_code(name: OwnCode) -> int:
    """A code of librdkafka's own, which no broker sends: KafkaError has it with an underscore before its name."""
    found: int = getattr(KafkaError, f"_{name}")
    return found


# what says that nobody answered; everything else is an answer
SILENT = frozenset(
    {
        own_code("ALL_BROKERS_DOWN"),
        own_code("DESTROY"),
        own_code("FAIL"),
        own_code("RESOLVE"),
        own_code("TIMED_OUT"),
        own_code("TIMED_OUT_QUEUE"),
        own_code("TRANSPORT"),
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.REQUEST_TIMED_OUT,
    }
)


def librdkafka(settings: Settings) -> dict[str, Any]:
    """Broker and security, for clients of Kafka; what troubles them comes by callbacks, not on standard error."""
    password = settings.kafka_sasl_password
    said = {
        "bootstrap.servers": settings.kafka_bootstrap_servers,
        "security.protocol": settings.kafka_security_protocol,
        "sasl.mechanism": settings.kafka_sasl_mechanism,
        "sasl.username": settings.kafka_sasl_username,
        "sasl.password": password and password.get_secret_value(),
        "ssl.ca.location": settings.kafka_ssl_ca_location,
        "ssl.certificate.location": settings.kafka_ssl_certificate_location,
        "ssl.key.location": settings.kafka_ssl_key_location,
    }
    return {"log_level": 0, **{name: str(value) for name, value in said.items() if value is not None}}


def code(error: KafkaException) -> int | None:
    """Which of KafkaError's codes it carries; None where it carries a text only."""
    cause = error.args[0]
    return cause.code() if isinstance(cause, KafkaError) else None


def explanation(error: KafkaException) -> str:
    """Its text, without codes around it."""
    cause = error.args[0]
    return cause.str() if isinstance(cause, KafkaError) else str(cause)


def make_admin(settings: Settings) -> AdminClient:
    """An admin client that knows topics by Herald's names; keep it referenced until its futures resolve."""
    return Admin({**librdkafka(settings), **ADMIN}, TopicNames(settings.topic_prefix))


def abandon(client: object, *, after: float = DESTROY_AFTER) -> None:
    """Let go of a client, to be destroyed so many seconds later by a thread that nobody waits for.

    Destroying one that is stuck may block for ever (librdkafka 2.12).
    """
    held = [client]

    def let_go() -> None:
        threading.Event().wait(after)
        held.clear()

    Thread(let_go, "abandoned").start()


@contextmanager
def passing(client: C) -> Iterator[C]:
    """A client for one question: given up where that raises, and soon destroyed where it is answered."""
    try:
        yield client
    except BaseException:
        abandon(client)
        raise
    abandon(client, after=ANSWERED)


def is_silence(error: KafkaException) -> bool:
    """Whether it says that no broker answered, rather than what one answered."""
    return code(error) in SILENT


def answer_to(asked: Future[T]) -> T:
    """What a broker answers. Raises KafkaException, also where there is no answer in time."""
    try:
        return asked.result(ANSWER_TIMEOUT)
    except TimeoutError:
        raise KafkaException(KafkaError(own_code("TIMED_OUT"))) from None
    finally:
        came_by()


def ask_anew(settings: Settings, ask: Callable[[AdminClient], T]) -> T:
    """What a new admin client answers; it is not kept. Raises what `ask` raises."""
    with passing(make_admin(settings)) as admin:
        return ask(admin)
