"""Connections to PostgreSQL, and what its errors mean."""

import contextlib
import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from herald.outbox.postgres.driver import (
    Connection,
    DatabaseError,
    InterfaceError,
    OperationalError,
    PostgresError,
    connect_plainly,
    parse_dsn,
)
from herald.outbox.postgres.fitness import FOR_WORK, Check, Facts, read_facts, refuse_unfit
from herald.outbox.postgres.instance import stay_home
from herald.outbox.postgres.pooler import make_shared_cursor, session_of, shares_sessions
from herald.outbox.postgres.session_settings import set_up
from herald.outbox.postgres.statements import fetch_value
from herald.outbox.postgres.watch import MARGIN, WatchedConnection, watch
from herald.outbox.settings import Settings
from herald.outbox.watched.life import waiting

# SQLSTATE classes, https://www.postgresql.org/docs/current/errcodes-appendix.html
DATA = ("22", "23", "54")  # the data is at fault: it will be refused again
OUTAGE = ("08", "25", "40", "53", "55", "57", "58", "XX")  # the server is away, read-only, full or busy: try again
KEEPALIVES = {"keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 4}  # seconds, seconds, probes
PROVED_FOR = 60.0  # seconds in which a pooler that was found to be in session mode is not tried again
_proved: dict[str, float] = {}  # URLs, and when by the monotonic clock
C = TypeVar("C", bound=Connection)


def connect(settings: Settings, application_name: str) -> Connection:
    """Open a connection of one's own.

    Raises OperationalError within `connect_timeout` seconds; of its kind are StandbyError and, where Herald
    cannot work, or in a copy of its database, UnfitError.
    """
    return _at_home(connect_anywhere(settings, application_name, checks=FOR_WORK), settings)


def connect_anywhere(settings: Settings, application_name: str, *, checks: Iterable[Check]) -> Connection:
    """The same wherever it leads, for those who look and those who say where it belongs.

    Raises OperationalError, and UnfitError for what `checks` say of it.
    """
    return _set_up(_open(settings, application_name, Connection), settings, checks)


def connect_watched(settings: Settings, application_name: str, *, is_steady: bool = False) -> WatchedConnection:
    """The same for a process that goes on for ever: no call takes longer than `statement_timeout` and 3 seconds.

    What sets a longer `statement_timeout` raises the connection's `limit`, too. `is_steady` where it runs the same
    statements again and again: its prepared ones are planned once, for every size of the tables.
    """
    with waiting():
        opened = _open(settings, application_name, WatchedConnection)
    _watch(opened, settings)
    return _at_home(_set_up(opened, settings, FOR_WORK, is_steady=is_steady), settings)


def _open(settings: Settings, application_name: str, kind: type[C]) -> C:
    """What `options` in DATABASE_URL say holds; the strings' syntax is the driver's, which learns it from the start."""
    asked = {
        "application_name": name_in(settings.database_schema, application_name),
        "client_encoding": "UTF8",
        "connection_factory": kind,
        **_limits(settings),
    }
    opened: C = connect_plainly(settings.database_url, **asked)
    if opened.get_parameter_status("standard_conforming_strings") != "off":
        return opened
    opened.close()
    options = f"{parse_dsn(settings.database_url).get('options', '')} -c standard_conforming_strings=on"
    again: C = connect_plainly(settings.database_url, options=options, **asked)
    return again


def name_in(schema: str, application_name: str) -> str:
    """`herald-relay`, or in the schema `other` of the same database `other-relay`: as the server shows the session."""
    return application_name.replace("herald", schema, 1)


def _set_up(opened: C, settings: Settings, checks: Iterable[Check], *, is_steady: bool = False) -> C:
    """Prove it, then set what must hold; what is shared with others is left as it is, whoever wanted it anyway."""
    opened.autocommit = True  # until here nothing but questions, each a transaction of its own
    try:
        facts = _look(opened, settings)
        refuse_unfit(facts, checks)
        if not facts.is_shared:
            limit = settings.statement_timeout
            set_up(opened, schema=settings.database_schema, statement_timeout=limit, is_steady=is_steady)
        else:
            opened.cursor_factory = make_shared_cursor(settings.database_schema)
        opened.autocommit = False
    except BaseException:
        opened.close()
        raise
    return opened


def _at_home(opened: C, settings: Settings) -> C:
    opened.autocommit = True
    try:
        stay_home(opened, settings)
        opened.autocommit = False
    except BaseException:
        opened.close()
        raise
    return opened


def _look(opened: Connection, settings: Settings) -> Facts:
    facts = read_facts(opened, settings.database_schema)
    if isinstance(opened, WatchedConnection):
        opened.backend = facts.session  # a pooler in session mode gave us a number of its own
    if not facts.is_pooled or time.monotonic() - _proved.get(settings.database_url, float("-inf")) < PROVED_FOR:
        return facts
    if is_shared(opened, settings):
        return replace(facts, is_shared=True)
    _proved[settings.database_url] = time.monotonic()
    return facts


def is_shared(opened: Connection, settings: Settings) -> bool:
    """Whether its session is not its own, tried with a second connection.

    `opened` is in autocommit. Raises PostgresError.
    """
    second = _open(settings, "herald-probe", WatchedConnection)
    with contextlib.closing(second):
        _watch(second, settings)  # a pool that has no session left lets it wait
        second.autocommit = True
        session_of(second)
        second.autocommit = False
        try:
            return shares_sessions(opened, second)
        except OperationalError:
            if not second.closed:
                raise
            session_of(opened)  # only the second ended, at its first BEGIN: a pooler in statement mode does that
            return True


def _watch(opened: WatchedConnection, settings: Settings) -> None:
    def open_another() -> Connection:
        another: Connection = connect_plainly(settings.database_url, **_limits(settings))
        return another

    watch(opened, settings.statement_timeout + MARGIN, open_another)


def _limits(settings: Settings) -> dict[str, Any]:
    # libpq raises a connect_timeout below 2 seconds to 2
    return {"connect_timeout": max(2, round(settings.connect_timeout)), **KEEPALIVES}


def read_clock(connection: Connection) -> datetime:
    """The time by the database's clock, which decides what is due; nobody else asks for it."""
    at: datetime = fetch_value(connection, "SELECT clock_timestamp()")
    return at


def is_outage(error: BaseException) -> bool:
    """Whether the database, not the data, is at fault, so that the same statement may succeed later."""
    original = _original(error)
    if isinstance(original, InterfaceError):
        return True
    if not isinstance(original, PostgresError):
        return False
    if original.pgcode is None:
        return isinstance(original, OperationalError | DatabaseError)
    return original.pgcode.startswith(OUTAGE) or _lacks_partition(original)


def is_data_error(error: BaseException) -> bool:
    """Whether PostgreSQL refuses the data itself, now and at every later try."""
    original = _original(error)
    if not isinstance(original, PostgresError) or original.pgcode is None:
        return False
    return original.pgcode.startswith(DATA) and not _lacks_partition(original)


def reason(error: BaseException) -> str:
    """What PostgreSQL says was wrong, without the statement that it quotes."""
    original = _original(error)
    if isinstance(original, PostgresError) and original.diag.message_primary:
        return original.diag.message_primary
    return str(original).strip()


def _original(error: BaseException) -> BaseException:
    """Without what SQLAlchemy puts around it, which keeps it as `orig`."""
    original: BaseException = getattr(error, "orig", None) or error
    return original


def _lacks_partition(error: PostgresError) -> bool:
    # "no partition of relation … found for row" shares its SQLSTATE with violated CHECKs, but names no constraint
    return error.pgcode == "23514" and error.diag.constraint_name is None
