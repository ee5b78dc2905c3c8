"""Starting before the others do: wait for the database and for Kafka, and say what for."""

import contextlib
import threading
from collections.abc import Callable

import psycopg2
import structlog
import tenacity

from outbox.database import connect
from outbox.settings import Settings

FIRST_WAIT = 0.25  # seconds
LONGEST_WAIT = 30.0  # seconds
_log = structlog.get_logger()


class NotMigratedError(Exception):
    """The database is there, its tables are not."""


def wait_until(
    probe: Callable[[], object],
    *,
    what: str,
    on: type[Exception] | tuple[type[Exception], ...],
    stop: threading.Event,
) -> None:
    """Call `probe` until it no longer raises `on`, with exponential backoff up to 30 s; ends once `stop` is set."""

    def tell(state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        wait = state.next_action.sleep if state.next_action else 0.0
        _log.warning("waiting", what=what, reason=str(error).strip(), next_try_seconds=wait)

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(on),
        wait=tenacity.wait_exponential(multiplier=FIRST_WAIT, max=LONGEST_WAIT),
        sleep=tenacity.sleep_using_event(stop),
        stop=tenacity.stop_when_event_set(stop),
        before_sleep=tell,
        retry_error_callback=lambda _state: None,
    )
    if not stop.is_set():
        retrying(probe)


def wait_for_database(settings: Settings, stop: threading.Event) -> None:
    """Return once the database answers and is migrated, or once `stop` is set."""
    wait_until(
        lambda: _look_for_tables(settings),
        what="the database",
        on=(psycopg2.OperationalError, NotMigratedError),
        stop=stop,
    )


def _look_for_tables(settings: Settings) -> None:
    with contextlib.closing(connect(settings, "herald-startup")) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('outbox') IS NOT NULL AND to_regclass('relay_cursor') IS NOT NULL")
        (is_migrated,) = cursor.fetchone()  # type: ignore[misc]
    if not is_migrated:
        message = "the tables are missing: run `herald migrate`"
        raise NotMigratedError(message)
