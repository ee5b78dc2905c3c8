"""The parts of a pipeline put together for a test: `notifications`, over one channel."""

import threading
from collections.abc import Callable, Mapping
from typing import Any

from herald.outbox.moves.breakers import policy_of
from herald.outbox.moves.record import Outcome
from herald.outbox.postgres.connections import connect
from herald.outbox.settings import Settings
from herald.pipeline.channel import Channel
from herald.pipeline.consume.dead_letters import SendLetters
from herald.pipeline.consume.decoding import Decoder
from herald.pipeline.consume.intake import Intake
from herald.pipeline.consume.record import Request
from herald.pipeline.consume.topic_ids import TopicIds
from herald.pipeline.deliver.attempt import Attempt
from herald.pipeline.deliver.attempting import Deliverer
from herald.pipeline.deliver.failing import Health
from herald.pipeline.deliver.routing import Router
from herald.pipeline.deliver.threads import driven
from herald.pipeline.topic import Topic
from herald.pipeline.topics import notifications
from herald.pipeline.work.ledger import Ledger
from herald.pipeline.work.worker import Worker
from tests.pipeline.records import LATEST, SOURCE, arrival, new_id, settings_for

TOPICS = {"notifications": notifications.topic}


def settings(database: str = "postgresql://nowhere/herald", **others: Any) -> Settings:
    return settings_for(database, **{"delivery_timeout": 30.0, "lease": 60.0, "max_attempts": 2, **others})


def make_decoder(topics: Mapping[str, Topic] = TOPICS, **others: Any) -> Decoder:
    """One that knows no message, and takes any date for possible."""
    said: dict[str, Any] = {
        "source": SOURCE,
        "max_bytes": 10**6,
        "topic_ids": TopicIds(dict),
        "read_latest_date": lambda: LATEST,
        "is_known": lambda _message: False,
    }
    return Decoder(topics, **(said | others))


def make_request(**fields: Any) -> Request:
    """What a record of Herald's own asks for, already decoded."""
    record = arrival()
    said: dict[str, Any] = {
        "id": new_id(),
        "request": 1,
        "version": 1,
        "topic": "notifications",
        "key": None,
        "data": None,
        "raw": record.value,
        "source": SOURCE,
        "arrival": record,
    }
    return Request(**(said | fields))


def make_router(
    channel: Channel | None = None, *, topics: Mapping[str, Topic] = TOPICS, found: Settings | None = None
) -> Router:
    return Router(found or settings(), topics, {"log": channel} if channel else {})


def make_deliverer(
    router: Router, *, clock: Callable[[], float] = lambda: 0.0, health: Health | None = None
) -> Deliverer:
    return Deliverer(router, health or Health(5), clock=clock)


def in_this_thread(deliver: Deliverer) -> Callable[[Attempt], Outcome]:
    """As a delivery thread makes an attempt."""
    return lambda attempt: driven(deliver(attempt))


def make_ledger(found: Settings, *, patience: float = 0.0) -> Ledger:
    stop = threading.Event()
    return Ledger(lambda: connect(found, "tests"), policy_of(found), lease=found.lease, stop=stop, patience=patience)


def make_worker(
    found: Settings,
    router: Router,
    send_letters: SendLetters,
    *,
    topics: Mapping[str, Topic] = TOPICS,
    on_error: Callable[[], None] = lambda: None,
    read_topic_ids: Callable[[], Mapping[str, str]] = dict,
) -> Worker:
    ledger = make_ledger(found)
    decoder = make_decoder(topics, topic_ids=TopicIds(read_topic_ids), is_known=ledger.is_known)
    return Worker(found, Intake(decoder), router, ledger, send_letters, on_error)
