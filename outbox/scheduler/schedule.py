"""The scheduler: a thread of the active relay that runs each duty when its time has come."""

import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import structlog
from confluent_kafka import KafkaException

from herald.outbox.crash_points import reach
from herald.outbox.postgres.connections import connect_watched, reason
from herald.outbox.postgres.driver import Connection, PostgresError
from herald.outbox.postgres.notify import notify
from herald.outbox.settings import Settings
from herald.outbox.threads import Thread
from herald.outbox.watched.life import LIMIT, came_by, living
from herald.outbox.watched.relay import DUTY_EVENTS, DUTY_FAILURES, DUTY_SECONDS

STOP_TIMEOUT = 3.0  # seconds
TICK = 0.2  # seconds; a date is kept within it, and a look that finds nothing costs under a millisecond
REST = 1.0  # seconds at least after a turn that failed
TELL_AGAIN = 60.0  # seconds until a duty that goes on failing is logged again
_log = structlog.get_logger()


@dataclass(slots=True)
class Duty:
    """Something to do every so many seconds; it returns how many events it left for the relay to publish.

    After a turn that left some the next one comes in `again` seconds, where that is given.
    """

    every: float
    act: Callable[[Connection], int | None]
    due: float = 0.0
    name: str = ""
    again: float | None = None
    failures: int = 0  # in a row
    told_at: float = -math.inf

    @property
    def title(self) -> str:
        """What it is called in logs and metrics."""
        return self.name or self.act.__name__


class Scheduler:
    """Runs its duties in order; what fails is logged and tried again at its next turn.

    `is_steady` where they are Herald's own of every second, as connect_watched has it. After `limit` seconds in a duty
    that waits for no database its thread is stuck.
    """

    def __init__(
        self,
        settings: Settings,
        duties: Sequence[Duty],
        *,
        name: str = "scheduler",
        is_steady: bool = False,
        limit: float = LIMIT,
    ) -> None:
        self._settings = settings
        self._duties = duties
        self._name = f"herald-{name}"
        self._is_steady = is_steady
        self._limit = limit
        self._stop = threading.Event()
        self._connection: Connection | None = None
        self._thread = Thread(self._run, name=name)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def ask_to_stop(self) -> None:
        """It ends soon."""
        self._stop.set()

    def wait(self, seconds: float) -> None:
        """Until the duty at hand has ended, or for so long: what a duty does may be done by two."""
        self._thread.join(max(0.0, seconds))

    def _run(self) -> None:
        with living(self._name, limit=self._limit):
            while not self._stop.is_set():
                came_by()
                self._tick()
                self._stop.wait(self._pause())
        self._disconnect()

    def _pause(self) -> float:
        """Seconds until the next turn of a duty, or a tick."""
        return max(0.0, min([TICK, *(duty.due - time.monotonic() for duty in self._duties)]))

    def _tick(self) -> None:
        for duty in self._duties:
            if duty.due <= time.monotonic() and not self._stop.is_set():
                duty.due = time.monotonic() + duty.every
                came_by()
                with DUTY_SECONDS.labels(duty.title).time():
                    self._perform(duty)

    def _perform(self, duty: Duty) -> None:
        try:
            if self._connection is None:
                self._connection = connect_watched(self._settings, self._name, is_steady=self._is_steady)
                self._connection.autocommit = True
            reach(f"scheduler.{duty.name}.begun")
            is_news = duty.act(self._connection)
            reach(f"scheduler.{duty.name}.done")
            if is_news:
                DUTY_EVENTS.labels(duty.title).inc(is_news if isinstance(is_news, int) else 1)
                self._wake_relay(self._connection)
                if duty.again is not None:
                    duty.due = time.monotonic() + duty.again
            self._succeed(duty)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a task is a user's code: it must not end the scheduler
            self._fail(duty, error)

    @staticmethod
    def _succeed(duty: Duty) -> None:
        if duty.failures:
            _log.info("duty_recovered", duty=duty.title, failures=duty.failures)
        duty.failures, duty.told_at = 0, -math.inf

    def _fail(self, duty: Duty, error: Exception | SystemExit) -> None:
        """Only this duty waits. The first failure in a row is logged with its traceback, then one a minute."""
        DUTY_FAILURES.labels(duty.title).inc()
        duty.failures += 1
        duty.due = max(duty.due, time.monotonic() + REST)
        if time.monotonic() - duty.told_at >= TELL_AGAIN:
            duty.told_at = time.monotonic()
            is_known = isinstance(error, PostgresError | KafkaException)
            why = reason(error) if is_known else f"{type(error).__name__}: {error}"
            traceback = error if duty.failures == 1 else None
            _log.warning("duty_failed", duty=duty.title, reason=why, failures=duty.failures, exc_info=traceback)
        self._disconnect()

    @staticmethod
    def _wake_relay(connection: Connection) -> None:
        notify(connection)

    def _disconnect(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(PostgresError):
                self._connection.close()
        self._connection = None


@contextlib.contextmanager
def running(schedulers: Sequence[Scheduler]) -> Iterator[None]:
    """They run while the block does; all together are waited for 3 seconds at most."""
    for scheduler in schedulers:
        scheduler.start()
    try:
        yield
    finally:
        for scheduler in schedulers:
            scheduler.ask_to_stop()
        deadline = time.monotonic() + STOP_TIMEOUT
        for scheduler in schedulers:
            scheduler.wait(deadline - time.monotonic())
