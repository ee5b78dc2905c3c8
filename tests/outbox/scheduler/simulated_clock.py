"""A database whose clock is set back for one connection, so that hours pass in no time.

Statements say `clock_timestamp()` without a schema: for this connection the first one found is ours.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from herald.outbox.postgres.connections import read_clock
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import execute
from herald.outbox.scheduler.partitions import make_partitions
from tests.outbox.connections import assert_projection_equals_log, connected

_INSTALL = """
CREATE FUNCTION clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
    SELECT pg_catalog.clock_timestamp()
        + coalesce(nullif(current_setting('simulated.shift', true), ''), '0')::interval  -- other connections have none
$$;
SET simulated.shift = '0';
"""


@contextmanager
def simulated_clock(connection: Connection) -> Iterator[None]:
    """Until the end, `shift` moves the clock of this connection, which is in autocommit."""
    execute(connection, _INSTALL)
    yield
    execute(connection, "DROP FUNCTION clock_timestamp()")


@contextmanager
def long_ago(database: str, then: timedelta, *, retention: float) -> Iterator[Connection]:
    """A connection in autocommit, at that time, with the partitions that a `retention` in seconds gives.

    At the end every message is compared with the fold of its events.
    """
    with connected(database) as connection:
        connection.autocommit = True
        with simulated_clock(connection):
            shift(connection, then)
            make_partitions(connection, retention=retention, at=read_clock(connection))
            yield connection
        connection.autocommit = False
        assert_projection_equals_log(connection)


def shift(connection: Connection, by: timedelta) -> None:
    """From now on the clock is that much ahead of the real one."""
    execute(connection, "SELECT set_config('simulated.shift', %s, false)", f"{by.total_seconds()} seconds")


def id_at(when: datetime) -> UUID:
    """A UUIDv7 of that time."""
    return UUID(int=int(when.timestamp() * 1000) << 80 | 7 << 76 | 2 << 62 | uuid4().int & (1 << 62) - 1)
