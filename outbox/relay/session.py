"""The relay's one session: the lock that makes it the leader, LISTEN, reads and saves.

The server ends it when it stays silent for 9 s, so that a frozen or unplugged host lets go of
the lock; a leader speaks at least every second. Where the server itself is stuck in writing to it
(notifications that a frozen process does not read fill a socket in seconds), no timeout of PostgreSQL
applies: then a standby ends it.
"""

import contextlib
import select

import structlog

from herald.outbox.postgres.connections import connect_watched, name_in
from herald.outbox.postgres.driver import Connection, PostgresError
from herald.outbox.postgres.fitness import UnfitError
from herald.outbox.postgres.locks import LEADER, SCHEMA, try_lock
from herald.outbox.postgres.notify import listen, notify
from herald.outbox.postgres.statements import execute
from herald.outbox.relay.page_statements import PLAN
from herald.outbox.settings import Settings

NAME = "herald-relay"
SILENCE = "9s"  # until the server takes the lock from a session that says nothing
PROBE_TIMEOUT = 2.0  # seconds for a NOTIFY to come back
_log = structlog.get_logger()

# A relay of this Herald, by the lock's schema and by the session's name (to which a pooler may add something), with a
# role whose rights this one has: nobody else is ended, whatever locks he holds.
_END_DEAF = f"""
SELECT pg_terminate_backend(pid) FROM pg_stat_activity JOIN pg_locks USING (pid)
WHERE locktype = 'advisory' AND (classid, objid, objsubid) = ({SCHEMA}, %(leader)s, 2) AND granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND starts_with(application_name, %(name)s) AND pg_has_role(usesysid, 'USAGE')
  AND wait_event = 'ClientWrite' AND state_change < clock_timestamp() - %(silence)s::interval
"""


def open_session(settings: Settings) -> Connection:
    """A connection fit to lead with, in autocommit: each statement has its own snapshot.

    Raises PostgresError, UnfitError among them.
    """
    connection = connect_watched(settings, NAME, is_steady=True)
    connection.autocommit = True
    execute(connection, "SELECT set_config('idle_session_timeout', %s, false)", SILENCE)
    for statement in PLAN:
        execute(connection, statement)
    return connection


def try_to_lead(connection: Connection) -> bool:
    """Take the lock, or say that another relay has it."""
    return try_lock(connection, LEADER)


def end_deaf_leader(connection: Connection, settings: Settings) -> int:
    """End a leader's session that is silent for 9 s and reads nothing; returns how many there were, 0 or 1."""
    name = name_in(settings.database_schema, NAME)
    return execute(connection, _END_DEAF, {"leader": LEADER, "name": name, "silence": SILENCE})


def check_alone(settings: Settings) -> None:
    """Refuse to lead where another connection gets the same lock, whatever is in between and shows it in no other way.

    Raises UnfitError, PostgresError.
    """
    with contextlib.closing(connect_watched(settings, "herald-relay-probe")) as second:
        if try_to_lead(second):
            message = (
                "a second connection was given the leader's lock too, so something between here and PostgreSQL gives"
                " one session to many: let DATABASE_URL name PostgreSQL itself"
            )
            raise UnfitError(message)


def hears_notifications(connection: Connection, settings: Settings) -> bool:
    """LISTEN, and prove that a NOTIFY from elsewhere arrives within 2 seconds."""
    listen(connection)
    with contextlib.closing(connect_watched(settings, "herald-relay-probe")) as second:
        notify(second)
        second.commit()
    return wait_for_news(connection, PROBE_TIMEOUT)


def wait_for_news(connection: Connection, timeout: float) -> bool:
    """Wait up to `timeout` seconds for a notification; whether one came. Raises PostgresError."""
    if not connection.notifies:
        select.select([connection], [], [], timeout)
        connection.poll()
    heard = bool(connection.notifies)
    connection.notifies.clear()
    return heard


def speak(connection: Connection) -> None:
    """Keep the session from being ended for its silence. Raises PostgresError."""
    execute(connection, "SELECT")


def end_session(connection: Connection) -> None:
    """Close it, and with it give back the lock."""
    with contextlib.suppress(PostgresError):
        connection.close()
