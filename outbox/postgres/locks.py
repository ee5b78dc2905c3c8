"""Keys of advisory locks that several parts take: one space of numbers for the whole database.

4840212 is the leading relay's, 4840214 that of `outbox_make_partitions`; `outbox_cut_newest` takes BOOKS.
"""

from contextlib import suppress

from herald.outbox.postgres.driver import Connection, PostgresError
from herald.outbox.postgres.statements import execute, fetch_value

UPGRADE = 4_840_213  # concurrent upgrades wait for each other, and for a rebuild
BOOKS = 4_840_215  # whoever moves partitions: a rebuild of the projection, a cut, or the closing of the books


def try_lock(connection: Connection, key: int) -> bool:
    """Take it for this session if it is free."""
    return bool(fetch_value(connection, "SELECT pg_try_advisory_lock(%s)", key))


def unlock(connection: Connection, key: int) -> None:
    """Give it back; where the session is lost, so is the lock."""
    with suppress(PostgresError):
        execute(connection, "SELECT pg_advisory_unlock(%s)", key)
