"""What the leading relay does by the clock, and how often."""

import time
from collections.abc import Callable
from functools import partial

from herald.outbox.acceptance.expired_keys import EMPTY_KEYS, empty_expired_keys
from herald.outbox.extensions import TASK, load
from herald.outbox.kafka.asking import Asking
from herald.outbox.moves.expire import expire
from herald.outbox.moves.settle import settle_leases
from herald.outbox.postgres.connections import read_clock
from herald.outbox.postgres.driver import Connection
from herald.outbox.registry import TASKS
from herald.outbox.scheduler.deleted import watch_topics
from herald.outbox.scheduler.due import request_due
from herald.outbox.scheduler.lines import Lines
from herald.outbox.scheduler.lost import Sweep
from herald.outbox.scheduler.pages import Pages
from herald.outbox.scheduler.partitions import make_partitions
from herald.outbox.scheduler.requeue import requeue_step
from herald.outbox.scheduler.schedule import TICK, Duty
from herald.outbox.scheduler.task import Task
from herald.outbox.settings import Settings

TURN = 0.05  # seconds; who waits in line has a turn again
AGAIN = 0.02  # seconds; who comes to what is due while it is requested waits for it, and others wait for who came
NOTE_PAGES = 1.0  # seconds
WATCH_TOPICS = 5.0  # seconds between two looks at the topics' ids
MAKE_PARTITIONS = 60.0  # seconds


def make_duties(settings: Settings) -> list[Duty]:
    """What Herald itself does, whether Kafka answers or not."""

    def partitions(connection: Connection) -> None:
        make_partitions(connection, retention=settings.retention, at=read_clock(connection))

    return [
        Duty(MAKE_PARTITIONS, partitions, name="partitions"),
        Duty(TICK, partial(settle_leases, settings=settings), name="leases"),
        Duty(TICK, expire, name="expiry"),
        Duty(TICK, partial(request_due, settings=settings), name="due", again=AGAIN),
        Duty(TICK, partial(Lines().request_next, settings=settings), name="lines", again=TURN),
        Duty(TICK, requeue_step, name="requeues"),
        Duty(EMPTY_KEYS, empty_expired_keys, name="keys"),
    ]


def make_kafka_duties(settings: Settings, asking: Asking, on_deleted_topic: Callable[[], None]) -> list[Duty]:
    """What Herald itself asks Kafka for."""
    noting, sweep = Pages(), Sweep(settings)

    def pages(connection: Connection) -> None:
        asking.ask(lambda admin: noting.note(connection, admin))

    def topics(connection: Connection) -> int:
        return asking.ask(lambda admin: watch_topics(connection, admin, settings, on_deleted_topic))

    def lost(connection: Connection) -> int:
        return asking.ask(lambda admin: sweep.request_lost(connection, admin))

    return [
        Duty(WATCH_TOPICS, topics, name="topics"),
        Duty(NOTE_PAGES, pages, name="pages"),
        Duty(settings.sweep_seconds, lost, name="lost"),
    ]


def load_tasks() -> list[Duty]:
    """The registered ones; each first runs after one interval. Raises ExtensionError."""
    now = time.monotonic()
    tasks: dict[str, Task] = {name: load(TASK, name) for name in TASKS}
    return [Duty(task.every, task.run, name=name, due=now + task.every) for name, task in tasks.items()]
