"""A clock of the database that a test moves: every connection, in whatever process, sees the new time at once.

All of Herald asks the database for the time, by `clock_timestamp()` without a schema, and every search path of Herald
names its own schema before `pg_catalog`. So a function of that name in Herald's schema is its clock: the true one plus
what a table says. Two things do not follow: statements that a connection has planned before, and column defaults, which
are bound to a function when their table is made.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from herald.outbox.postgres.connections import read_clock
from herald.outbox.postgres.driver import Connection, connect_plainly
from herald.outbox.postgres.session_settings import search_path
from herald.outbox.postgres.statements import execute, fetch_column

SCHEMA = "herald"  # of the plugin's databases
CONNECT_TIMEOUT = 5  # seconds
_INSTALL = """
CREATE TABLE virtual_clock (moved_by interval NOT NULL);
INSERT INTO virtual_clock VALUES ('0');
GRANT SELECT ON virtual_clock TO PUBLIC;
CREATE FUNCTION clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE SET search_path FROM CURRENT
    AS 'SELECT pg_catalog.clock_timestamp() + moved_by FROM virtual_clock';
"""
_DEFAULTS = """
SELECT format('ALTER TABLE %s ALTER COLUMN %I SET DEFAULT %s',
              adrelid::regclass, attname, pg_get_expr(adbin, adrelid))
FROM pg_attrdef JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum JOIN pg_class AS c ON c.oid = adrelid
WHERE relnamespace = current_schema()::regnamespace AND pg_get_expr(adbin, adrelid) LIKE '%clock_timestamp()%'
"""
_MOVE = """
UPDATE virtual_clock SET moved_by = {moved}
WHERE pg_catalog.clock_timestamp() + ({moved}) BETWEEN '1970-01-01Z' AND '9999-01-01Z'
RETURNING pg_catalog.clock_timestamp() + moved_by
"""


@dataclass(frozen=True)
class VirtualClock:
    """The clock of the Herald in that schema of the database at `url`; moved by nobody, it shows the true time.

    It may be moved back as well, as a server's clock may be.
    """

    url: str
    schema: str = SCHEMA

    def install(self) -> None:
        """Give the database this clock, before the first connection that is to see it.

        The schema is there, migrated or not yet. Needs the rights of its owner. Raises PostgresError, for example where
        a clock is installed already.
        """
        with self._connected() as connection:
            defaults = fetch_column(connection, _DEFAULTS)  # as they read before the name means another
            execute(connection, _INSTALL)
            for statement in defaults:
                execute(connection, statement)

    def now(self) -> datetime:
        """What time it is in the database."""
        with self._connected() as connection:
            return read_clock(connection)

    def advance(self, **by: float) -> datetime:
        """Let time pass: `advance(hours=3)`, with the names that `timedelta` takes; returns the new time.

        Raises ValueError when that lies outside the years 1970 to 9998.
        """
        return self._move(_MOVE.format(moved="moved_by + %(value)s"), timedelta(**by))

    def set(self, when: datetime) -> datetime:
        """Go on from this moment; returns the time. Raises ValueError for a date without a time zone."""
        if when.tzinfo is None:
            message = f"when: {when} has no time zone"
            raise ValueError(message)
        return self._move(_MOVE.format(moved="%(value)s - pg_catalog.clock_timestamp()"), when)

    def _move(self, statement: str, value: datetime | timedelta) -> datetime:
        with self._connected() as connection:
            moved: list[datetime] = fetch_column(connection, statement, {"value": value})
        if not moved:
            message = f"{value} leads out of the years 1970 to 9998"
            raise ValueError(message)
        return moved[0]

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        """Commits at its end."""
        with closing(connect_plainly(self.url, connect_timeout=CONNECT_TIMEOUT)) as connection, connection:
            execute(connection, f"SET search_path = {search_path(self.schema)}")
            yield connection
