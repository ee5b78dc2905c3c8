"""What there is to rebuild: each partition of the projection beside its partition of the log."""

from typing import NamedTuple

from herald.outbox.message.state import COLUMNS
from herald.outbox.operate.rebuild.session import RefusedError
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import execute, fetch, fetch_column

_PARTITIONS = """
WITH partition AS (
    SELECT i.inhparent, c.oid, c.relname, n.nspname, pg_get_expr(c.relpartbound, c.oid) AS bounds
    FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE i.inhparent IN ('outbox'::regclass, 'messages'::regclass)
)
"""
_ALONE = f"{_PARTITIONS} SELECT min(oid::regclass::text), bounds FROM partition GROUP BY bounds HAVING count(*) <> 2"
_PAIRS = f"""{_PARTITIONS}
SELECT m.relname, format('%I.%I', m.nspname, m.relname), format('%I.%I', m.nspname, m.relname || '_rebuilt'),
       format('%I.%I', m.nspname, m.relname || '_replaced'),
       format('%I.%I', l.nspname, l.relname), format('%I.%I', l.nspname, l.relname || '_of_rebuild'),
       bounds, pg_get_partition_constraintdef(m.oid)
FROM (SELECT * FROM partition WHERE inhparent = 'messages'::regclass) AS m
JOIN (SELECT * FROM partition WHERE inhparent = 'outbox'::regclass) AS l USING (bounds)
ORDER BY m.relname
"""

_COLUMNS = """
SELECT attname FROM pg_attribute WHERE attrelid = 'messages'::regclass AND attnum > 0 AND NOT attisdropped
"""

_LEFT_TABLES = """
SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND NOT c.relispartition AND c.relname ~ '^messages_.*_(rebuilt|replaced)$'
  AND c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'messages'::regclass)
"""

_LEFT_INDEXES = """
SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'i' AND c.relname ~ '^outbox_.*_of_rebuild$'
  AND c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'outbox'::regclass)
"""


class Pair(NamedTuple):
    """Names ready for SQL.

    `fresh` is the table in the making, `old` the one that it has replaced, `log_index` what finds its changes.
    """

    name: str
    live: str
    fresh: str
    old: str
    log: str
    log_index: str
    bounds: str
    constraint: str


def find_pairs(connection: Connection) -> list[Pair]:
    """Every partition, by its name. Raises RefusedError."""
    columns = set(fetch_column(connection, _COLUMNS))
    alone = fetch(connection, _ALONE)
    pairs = fetch(connection, _PAIRS, into=Pair)
    if strange := sorted(columns ^ set(COLUMNS)):
        message = f"messages and this release differ in {', '.join(strange)}: run `herald migrate` of this release"
        raise RefusedError(message)
    for name, bounds in alone:
        message = f"{name} ({bounds}) has no partition with the same bounds in the other table"
        raise RefusedError(message)
    return pairs


def abandon_closing(connection: Connection) -> None:
    """Give up a closing of the books that is half done: the swap would take away the trigger it relies on.

    It begins anew once the rebuild is over. Raises PostgresError where a lock is not free.
    """
    execute(connection, "SELECT closing_abandon()")


def remove_leftovers(connection: Connection) -> int:
    """Drop what an interrupted rebuild left, outside a transaction; returns how much that was."""
    statements = [f"DROP TABLE {table}" for table in fetch_column(connection, _LEFT_TABLES)]
    statements += [f"DROP INDEX CONCURRENTLY {index}" for index in fetch_column(connection, _LEFT_INDEXES)]
    for statement in statements:
        execute(connection, statement)
    return len(statements)
