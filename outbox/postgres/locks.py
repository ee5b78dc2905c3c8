"""Advisory locks: each has two keys, the oid of Herald's schema and a number.

So another Herald in the same database has locks of its own, and callers' numbers are no concern of ours. The functions
`outbox_make_partitions` (4840214) and `outbox_cut_widest` (BOOKS) take theirs in the same way. Only the lock of an
idempotency key is one number (acceptance/idempotency.py).
"""

from contextlib import suppress

from herald.outbox.postgres.driver import Connection, PostgresError
from herald.outbox.postgres.statements import execute, fetch_value

# The schema is the first of the search path. In pg_locks the keys are classid and objid, and objsubid is 2.
SCHEMA = "current_schema()::regnamespace::oid"
KEYS = f"{SCHEMA}::integer, %s"
LEADER = 4_840_212  # the relay that publishes
UPGRADE = 4_840_213  # concurrent upgrades wait for each other, and for a rebuild
BOOKS = 4_840_215  # whoever moves partitions: a rebuild of the projection, a cut, or the closing of the books


def try_lock(connection: Connection, key: int) -> bool:
    """Take it for this session if it is free."""
    return bool(fetch_value(connection, f"SELECT pg_try_advisory_lock({KEYS})", key))


def unlock(connection: Connection, key: int) -> None:
    """Give it back; where the session is lost, so is the lock."""
    with suppress(PostgresError):
        execute(connection, f"SELECT pg_advisory_unlock({KEYS})", key)


def lock_until_commit(connection: Connection, key: int) -> None:
    """Wait for it, and have it until this transaction ends. Raises PostgresError."""
    execute(connection, f"SELECT pg_advisory_xact_lock({KEYS})", key)
