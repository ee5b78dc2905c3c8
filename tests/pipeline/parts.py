"""The parts of a pipeline put together for a test: `notifications`, over one channel."""

import threading
from collections.abc import Callable, Mapping
from typing import Any

from outbox.breakers import policy_of
from outbox.database import connect
from outbox.settings import Settings
from pipeline.dead_letters import Bury
from pipeline.decoding import Decoder
from pipeline.deliverer import Deliverer
from pipeline.delivery import Channel
from pipeline.health import Health
from pipeline.intake import Intake
from pipeline.ledger import Ledger
from pipeline.routing import Router
from pipeline.topic import Topic
from pipeline.topic_ids import TopicIds
from pipeline.topics import notifications
from pipeline.worker import Worker
from tests.pipeline.records import REACH, SOURCE, settings_for

TOPICS = {"notifications": notifications.topic}


def settings(database: str = "postgresql://nowhere/herald", **others: Any) -> Settings:
    return settings_for(database, **{"delivery_timeout": 30.0, "lease": 60.0, "max_attempts": 2, **others})


def make_router(
    channel: Channel | None = None, *, topics: Mapping[str, Topic] = TOPICS, found: Settings | None = None
) -> Router:
    return Router(found or settings(), topics, {"log": channel} if channel else {})


def make_deliverer(
    router: Router, *, clock: Callable[[], float] = lambda: 0.0, health: Health | None = None
) -> Deliverer:
    return Deliverer(router, health or Health(5), clock=clock)


def make_ledger(found: Settings, *, patience: float = 0.0) -> Ledger:
    stop = threading.Event()
    return Ledger(lambda: connect(found, "tests"), policy_of(found), lease=found.lease, stop=stop, patience=patience)


def make_worker(  # noqa: PLR0913 - a test replaces one of them
    found: Settings,
    router: Router,
    bury: Bury,
    *,
    topics: Mapping[str, Topic] = TOPICS,
    patience: float = 30.0,
    on_error: Callable[[], None] = lambda: None,
    read_topic_ids: Callable[[], Mapping[str, str]] = dict,
) -> Worker:
    health, ledger = Health(found.breaker_failures), make_ledger(found)
    decoder = Decoder(
        topics,
        source=SOURCE,
        max_bytes=10**6,
        topic_ids=TopicIds(read_topic_ids),
        read_reach=lambda: REACH,
        is_known=ledger.is_known,
    )
    return Worker(
        Intake(decoder),
        router,
        ledger,
        Deliverer(router, health),
        bury,
        health,
        concurrency=found.concurrency,
        lease=found.lease,
        patience=patience,
        on_error=on_error,
        memory=found.memory,
        strict_topics=found.strict_topics,
    )
