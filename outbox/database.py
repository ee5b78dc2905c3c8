"""Connections to PostgreSQL, and what its errors mean."""

from datetime import datetime
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class with a lower-case name
from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from outbox.settings import Settings
from outbox.watch import MARGIN, WatchedConnection, watch

# SQLSTATE classes, https://www.postgresql.org/docs/current/errcodes-appendix.html
DATA = ("22", "23", "54")  # the data is at fault: it will be refused again
OUTAGE = ("08", "25", "40", "53", "55", "57", "58", "XX")  # the server is away, read-only, full or busy: try again
# PostgreSQL 18 (18.4 was tried) ends with a segmentation fault where a statement finds a row changed under its lock and
# then chooses partitions while it runs: perform_pruning_base_step() reads what the re-check has freed.
CRASHES_SINCE = 180_000
KEEPALIVES = {"keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 4}  # seconds, seconds, probes


def connect(settings: Settings, application_name: str) -> Connection:
    """Open a connection of one's own. Raises psycopg2.OperationalError within `connect_timeout` seconds."""
    opened: Connection = psycopg2.connect(_dsn(settings), application_name=application_name, **_limits(settings))
    _configure(opened, settings)
    return opened


def connect_watched(settings: Settings, application_name: str) -> WatchedConnection:
    """The same for a process that goes on for ever: no call takes longer than `statement_timeout` and 3 seconds.

    What sets a longer `statement_timeout` raises the connection's `limit`, too.
    """
    opened: WatchedConnection = psycopg2.connect(
        _dsn(settings), WatchedConnection, application_name=application_name, **_limits(settings)
    )
    _watch(opened, settings)
    _configure(opened, settings)
    return opened


def make_engine(settings: Settings, application_name: str) -> Engine:
    """A pool of `pool_size` connections for reads; a checkout waits `connect_timeout` seconds at most."""
    engine = create_engine(
        settings.database_url,
        pool_size=settings.pool_size,
        max_overflow=0,
        pool_pre_ping=True,
        pool_timeout=settings.connect_timeout,
        connect_args={
            "application_name": application_name,
            "connection_factory": WatchedConnection,
            **_limits(settings),
        },
    )
    event.listen(engine, "connect", lambda opened, _record: _watch(opened, settings))
    event.listen(engine, "connect", lambda opened, _record: _configure(opened, settings))
    return engine


def _dsn(settings: Settings) -> str:
    url = make_url(settings.database_url).set(drivername="postgresql")
    return url.render_as_string(hide_password=False)


def _watch(opened: WatchedConnection, settings: Settings) -> None:
    def open_another() -> Connection:
        another: Connection = psycopg2.connect(_dsn(settings), **_limits(settings))
        return another

    watch(opened, settings.statement_timeout + MARGIN, open_another)


def _limits(settings: Settings) -> dict[str, Any]:
    # libpq raises a connect_timeout below 2 seconds to 2
    return {"connect_timeout": max(2, round(settings.connect_timeout)), **KEEPALIVES}


def _configure(opened: Connection, settings: Settings) -> None:
    """Set what must hold whatever the role says.

    An answer after COMMIT means that it is on disk; each statement sees what is committed when it begins.
    """
    milliseconds = round(settings.statement_timeout * 1000)
    with opened.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('synchronous_commit', 'on', false), set_config('timezone', 'UTC', false),"
            " set_config('default_transaction_isolation', 'read committed', false),"
            " set_config('statement_timeout', %s, false), set_config('idle_in_transaction_session_timeout', %s, false)",
            (str(milliseconds), str(2 * milliseconds)),
        )
        if opened.server_version >= CRASHES_SINCE:
            cursor.execute("SET enable_partition_pruning = off")
    opened.commit()


def read_clock(connection: Connection) -> datetime:
    """The database's time."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (at,) = cursor.fetchone()  # type: ignore[misc]
    return at  # type: ignore[no-any-return]


def is_outage(error: BaseException) -> bool:
    """Whether the database, not the data, is at fault, so that the same statement may succeed later."""
    original = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(original, PoolTimeoutError | psycopg2.InterfaceError):
        return True
    if not isinstance(original, psycopg2.Error):
        return False
    if original.pgcode is None:
        return isinstance(original, psycopg2.OperationalError | psycopg2.DatabaseError)
    return original.pgcode.startswith(OUTAGE) or _lacks_partition(original)


def is_data_error(error: BaseException) -> bool:
    """Whether PostgreSQL refuses the data itself, now and at every later try."""
    original = error.orig if isinstance(error, DBAPIError) else error
    if not isinstance(original, psycopg2.Error) or original.pgcode is None:
        return False
    return original.pgcode.startswith(DATA) and not _lacks_partition(original)


def reason(error: BaseException) -> str:
    """What PostgreSQL says was wrong, without the statement that it quotes."""
    original = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(original, psycopg2.Error) and original.diag.message_primary:
        return original.diag.message_primary
    return str(original).strip()


def _lacks_partition(error: psycopg2.Error) -> bool:
    # "no partition of relation … found for row" shares its SQLSTATE with violated CHECKs, but names no constraint
    return error.pgcode == "23514" and error.diag.constraint_name is None
