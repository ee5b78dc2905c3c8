"""A clock of the database that a test moves: every connection, in whatever process, sees the new time at once.

All of Herald asks the database for the time, by `clock_timestamp()` without a schema. PostgreSQL looks
for it in `pg_catalog` first, unless the search path names that schema: then in the path's order. So a
database whose path is `public, pg_catalog`, with a function of that name in `public`, has a clock of its
own: the true one plus what a table says. Two things do not follow the path: connections that were opened
before, and column defaults, which are bound to a function when their table is made.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta

from herald.outbox.postgres.connections import read_clock
from herald.outbox.postgres.driver import Connection, connect_plainly
from herald.outbox.postgres.statements import execute, fetch_column, find_one

CONNECT_TIMEOUT = 5  # seconds
_INSTALL = """
CREATE SCHEMA herald_clock;
CREATE TABLE herald_clock.moved (by interval NOT NULL);
INSERT INTO herald_clock.moved VALUES ('0');
CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
    AS 'SELECT pg_catalog.clock_timestamp() + by FROM herald_clock.moved';
GRANT USAGE ON SCHEMA herald_clock TO PUBLIC;
GRANT SELECT ON herald_clock.moved TO PUBLIC;
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = public, pg_catalog', current_database()); END $$;
SET search_path = public, pg_catalog;
"""
_DEFAULTS = """
SELECT format('ALTER TABLE %s ALTER COLUMN %I SET DEFAULT %s',
              adrelid::regclass, attname, pg_get_expr(adbin, adrelid))
FROM pg_attrdef JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum
WHERE pg_get_expr(adbin, adrelid) LIKE '%clock_timestamp()%'
"""
_MOVE = """
UPDATE herald_clock.moved SET by = {moved}
WHERE pg_catalog.clock_timestamp() + ({moved}) BETWEEN '1970-01-01Z' AND '9999-01-01Z'
RETURNING pg_catalog.clock_timestamp() + by
"""


class VirtualClock:
    """The clock of the database at `url`; moved by nobody, it shows the true time.

    It may be moved back as well, as a server's clock may be.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def install(self) -> None:
        """Give the database this clock, before the first connection that is to see it.

        Needs the rights of the tables' owner. Raises PostgresError, for example where it is installed already.
        """
        with self._connected() as connection:
            defaults = fetch_column(connection, _DEFAULTS)  # as they read before the path is another
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
        return self._move(_MOVE.format(moved="by + %(value)s"), timedelta(**by))

    def set(self, when: datetime) -> datetime:
        """Go on from this moment; returns the time. Raises ValueError for a date without a time zone."""
        if when.tzinfo is None:
            message = f"when: {when} has no time zone"
            raise ValueError(message)
        return self._move(_MOVE.format(moved="%(value)s - pg_catalog.clock_timestamp()"), when)

    def _move(self, statement: str, value: datetime | timedelta) -> datetime:
        with self._connected() as connection:
            row = find_one(connection, statement, {"value": value})
        if row is None:
            message = f"{value} leads out of the years 1970 to 9998"
            raise ValueError(message)
        return row[0]  # type: ignore[no-any-return]  # a timestamptz is a datetime

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        """Commits at its end."""
        with closing(connect_plainly(self._url, connect_timeout=CONNECT_TIMEOUT)) as connection, connection:
            yield connection
