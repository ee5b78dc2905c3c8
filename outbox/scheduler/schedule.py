"""The scheduler: a thread of the active relay that runs each duty when its time has come."""

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import psycopg2
import structlog
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class with a lower-case name

from outbox.database import connect
from outbox.notifier import CHANNEL
from outbox.scheduler.deleted import watch_topics
from outbox.scheduler.due import request_due
from outbox.scheduler.keys import EMPTY_KEYS, empty_expired_keys
from outbox.scheduler.lost import note_page, request_lost
from outbox.scheduler.partitions import make_partitions
from outbox.settings import Settings

STOP_TIMEOUT = 3.0  # seconds
TICK = 1.0  # seconds
WATCH_TOPICS = 5.0  # seconds between two looks at the topics' ids
MAKE_PARTITIONS = 3600.0  # seconds
_log = structlog.get_logger()


@dataclass(slots=True)
class Duty:
    """Something to do every so many seconds; it returns how many messages it requested."""

    every: float
    act: Callable[[Connection], int | None]
    due: float = 0.0


class Scheduler:
    """Runs its duties in order; what fails is logged and tried again at its next turn."""

    def __init__(self, settings: Settings, admin: AdminClient, *, on_deleted_topic: Callable[[], None]) -> None:
        self._settings = settings
        self._duties = _duties(settings, admin, on_deleted_topic)
        self._stop = threading.Event()
        self._connection: Connection | None = None
        self._thread = threading.Thread(target=self._run, name="scheduler", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End after the duty at hand; waits 3 seconds at most, what a duty does may be done by two."""
        self._stop.set()
        self._thread.join(STOP_TIMEOUT)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._tick()
            self._stop.wait(TICK)
        self._disconnect()

    def _tick(self) -> None:
        for duty in self._duties:
            if duty.due <= time.monotonic() and not self._stop.is_set():
                duty.due = time.monotonic() + duty.every
                self._perform(duty)

    def _perform(self, duty: Duty) -> None:
        try:
            if self._connection is None:
                self._connection = connect(self._settings, "herald-scheduler")
                self._connection.autocommit = True
            if duty.act(self._connection):
                self._wake_relay(self._connection)
        except (psycopg2.Error, KafkaException) as error:
            _log.warning("duty_failed", duty=duty.act.__name__, reason=str(error).strip())
            self._disconnect()

    @staticmethod
    def _wake_relay(connection: Connection) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"NOTIFY {CHANNEL}")

    def _disconnect(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(psycopg2.Error):
                self._connection.close()
        self._connection = None


def _duties(settings: Settings, admin: AdminClient, on_deleted_topic: Callable[[], None]) -> list[Duty]:
    attempts = settings.max_attempts

    def due(connection: Connection) -> int:
        return request_due(connection, max_attempts=attempts)

    def pages(connection: Connection) -> None:
        note_page(connection, admin)

    def topics(connection: Connection) -> int:
        return watch_topics(connection, admin, settings, on_deleted_topic)

    def lost(connection: Connection) -> int:
        return request_lost(connection, admin, group=settings.group, max_attempts=attempts)

    return [
        Duty(MAKE_PARTITIONS, make_partitions),
        Duty(WATCH_TOPICS, topics),
        Duty(TICK, due),
        Duty(TICK, pages),
        Duty(settings.sweep_seconds, lost),
        Duty(EMPTY_KEYS, empty_expired_keys),
    ]
