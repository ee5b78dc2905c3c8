"""Starting before the others do: wait for the database and for Kafka, and say what for.

A release that cannot read what is stored does not start: it would fail later, in the middle of something.
"""

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import version

import rich_click as click
import structlog
import tenacity
from prometheus_client import CollectorRegistry

from herald.outbox.message.upcasting import known_schemas
from herald.outbox.postgres.connections import connect, is_outage, is_shared, reason
from herald.outbox.postgres.driver import Connection, OperationalError, errors
from herald.outbox.postgres.fitness import UnfitError, pooler, read_facts, refuse_unfit
from herald.outbox.postgres.instance import adopt_settings, stay_home
from herald.outbox.postgres.readiness import Readiness
from herald.outbox.postgres.registered import register
from herald.outbox.postgres.statements import execute, fetch, fetch_value
from herald.outbox.settings import Settings, SettingsError
from herald.outbox.watched.life import LIFE, waiting
from herald.outbox.watched.port import Names, PortError, Watched, serve
from herald.outbox.watched.servers import SERVERS
from herald.outbox.watched.traces import TracesError

FIRST_WAIT = 0.25  # seconds
LONGEST_WAIT = 5.0  # seconds: who waits is there again within ten, an answer that does not come included
_log = structlog.get_logger()


class NotMigratedError(Exception):
    """The database is there, its tables are not."""


class UnreadableLogError(Exception):
    """The log holds events that only another release can read."""


def wait_until(
    probe: Callable[[], object],
    *,
    what: str,
    on: type[Exception] | tuple[type[Exception], ...],
    stop: threading.Event,
) -> None:
    """Call `probe` until it raises neither `on` nor an outage of the database; ends once `stop` is set.

    The backoff is exponential, up to 5 s.

    Raises UnfitError at once: waiting mends nothing.
    """

    def mends(error: BaseException) -> bool:
        return (isinstance(error, on) or is_outage(error)) and not isinstance(error, UnfitError)

    def tell(state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        wait = state.next_action.sleep if state.next_action else 0.0
        SERVERS.lost(what, "waited for")
        _log.warning("waiting", what=what, reason=str(error).strip(), next_try_seconds=wait)

    def rest(seconds: float) -> None:
        with waiting():
            stop.wait(seconds)

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(mends),
        wait=tenacity.wait_exponential(multiplier=FIRST_WAIT, max=LONGEST_WAIT),
        sleep=rest,
        stop=tenacity.stop_when_event_set(stop),
        before_sleep=tell,
        retry_error_callback=lambda _state: None,
    )
    if not stop.is_set():
        retrying(probe)
        SERVERS.found(what)


@contextlib.contextmanager
def usable() -> Iterator[None]:
    """Ends the process with 2, and says why, where a setting is of no use."""
    try:
        yield
    except (SettingsError, PortError, TracesError) as error:
        click.echo(str(error), err=True)
        sys.exit(2)


def be_watched(
    settings: Settings,
    registry: CollectorRegistry,
    *,
    readiness: Readiness | None = None,
    missing: Names = SERVERS.missing,
    stuck: Names = LIFE.stuck,
) -> None:
    """From now on the threads are looked after, and answered for where HERALD_METRICS_PORT is set. Raises PortError.

    `missing`: what keeps it from its work beside the database, which is asked.
    """
    LIFE.watch()
    if not settings.metrics_port:
        return
    asked = readiness or Readiness(settings)

    def all_missing() -> list[str]:
        lacking = asked.lacking()
        return [*missing(), *([lacking] if lacking else [])]

    serve(settings.metrics_host, settings.metrics_port, Watched(registry, stuck, all_missing))


def wait_for_database(settings: Settings, stop: threading.Event) -> None:
    """Return once the database answers, is migrated and can be read, or once `stop` is set.

    Raises UnfitError, UnreadableLogError.
    """
    wait_until(
        lambda: _look(settings),
        what="the database",
        on=(OperationalError, NotMigratedError),
        stop=stop,
    )


def _look(settings: Settings) -> None:
    try:
        with waiting(), contextlib.closing(connect(settings, "herald-startup")) as connection:
            refuse_shared(connection, settings)
            check_migrated(connection)
            adopt_settings(connection, settings)
            stay_home(connection, settings)  # somebody else may have been the first
            register(connection, settings)
    except errors.InsufficientPrivilege as error:
        message = f"{reason(error)}: `herald doctor` names every GRANT that is missing"
        raise UnfitError(message) from None


def refuse_shared(connection: Connection, settings: Settings) -> None:
    """Look for a pooler once more, whatever the connections' keys say: one may hand on those of the server.

    Raises UnfitError.
    """
    connection.autocommit = True
    if is_shared(connection, settings):
        refuse_unfit(replace(read_facts(connection, settings.database_schema), is_shared=True), (pooler,))
    connection.autocommit = False


def check_migrated(connection: Connection) -> None:
    """Raises NotMigratedError, UnreadableLogError."""
    _look_for_tables(connection)
    check_stored_schemas(connection)


def _look_for_tables(connection: Connection) -> None:
    if not fetch_value(connection, "SELECT to_regclass('outbox') IS NOT NULL"):
        path = str(fetch_value(connection, "SELECT current_setting('search_path')"))
        message = f"the tables are missing in the schema {path.partition(',')[0]}: run `herald migrate`"
        raise NotMigratedError(message)


def check_stored_schemas(connection: Connection) -> None:
    """Look for events that this release cannot read, among the types and schemas that it does not know.

    Raises UnreadableLogError when one is stored. Where none is yet, the next release is being rolled out beside this
    one: that is only a warning. The log is read for the unknown ones alone, so that this normally costs nothing.
    """
    allowed = fetch(connection, "SELECT type, schema, since FROM event_types ORDER BY type, schema")
    for event_type, schema, since in allowed:
        if (event_type, schema) not in known_schemas():
            _check_unknown(connection, event_type, schema, since)


def _check_unknown(connection: Connection, event_type: str, schema: int, since: str) -> None:
    execute(connection, "SET LOCAL statement_timeout = 0")  # the whole log is read where there is none
    is_stored = fetch_value(
        connection, "SELECT EXISTS (SELECT FROM outbox WHERE type = %s AND schema = %s)", event_type, schema
    )
    if is_stored:
        message = (
            f"the log holds events {event_type} of schema {schema}, which this release ({version('herald')}) cannot"
            f" read: start release {since} or a later one"
        )
        raise UnreadableLogError(message)
    _log.warning("unknown_event_allowed", type=event_type, schema=schema, since=since, stored="not yet")
