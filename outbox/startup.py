"""Starting before the others do: wait for the database and for Kafka, and say what for."""

import contextlib
import threading
from collections.abc import Callable

import psycopg2
import structlog

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
    wait = FIRST_WAIT
    while not stop.is_set():
        try:
            probe()
        except on as error:
            _log.warning("waiting", what=what, reason=str(error).strip(), next_try_seconds=wait)
            stop.wait(wait)
            wait = min(2 * wait, LONGEST_WAIT)
        else:
            return


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
