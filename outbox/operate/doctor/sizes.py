"""How large tables and indexes are, and how much of them is dead."""

from collections.abc import Iterator

from herald.outbox.operate.doctor.database import Database
from herald.outbox.operate.doctor.finding import Check, Finding, ok, problem, warning
from herald.outbox.operate.shown import size

DEAD_SHARE = 0.2  # of the rows; autovacuum comes at this by default
DEAD_ROWS = 10_000  # fewer are not worth a word

_TABLES = """
SELECT c.oid::regclass::text AS name, pg_table_size(c.oid)::float8 AS bytes, pg_indexes_size(c.oid)::float8 AS indexes,
    coalesce(s.n_live_tup, 0) AS live, coalesce(s.n_dead_tup, 0) AS dead,
    extract(epoch FROM clock_timestamp() - greatest(s.last_vacuum, s.last_autovacuum))::float8 AS vacuumed
FROM pg_class AS c LEFT JOIN pg_stat_user_tables AS s ON s.relid = c.oid
WHERE c.relkind = 'r' AND c.relname <> 'alembic_version'
  AND c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'outbox'::regclass)
ORDER BY c.oid::regclass::text
"""


def sizes(database: Database) -> Iterator[Finding]:
    """Each partition and each other table."""
    for row in database.ask(_TABLES):
        text = f"{row['name']}: {size(row['bytes'])}, indexes {size(row['indexes'])}, about {row['live']:,} rows"
        yield ok(text)


def dead_rows(database: Database) -> Iterator[Finding]:
    """What autovacuum should have taken away."""
    found = database.ask(_TABLES)
    bloated = [row for row in found if row["dead"] > max(DEAD_ROWS, DEAD_SHARE * (row["live"] + row["dead"]))]
    for row in bloated:
        share = row["dead"] / (row["live"] + row["dead"])
        yield warning(
            f"{row['dead']:,} rows of {row['name']} are dead ({share:.0%})",
            f"See the open transactions above; once there are none: VACUUM (ANALYZE) {database.schema}.{row['name']};",
        )
    if not bloated:
        yield ok(f"{sum(row['dead'] for row in found):,} in all tables")


def autovacuum(database: Database) -> Iterator[Finding]:
    """Without it the queue's tables only grow."""
    if database.row("SELECT current_setting('autovacuum') AS state")["state"] == "on":
        yield ok("on")
    else:
        yield problem(
            "off: dead rows stay, and statements get slower",
            "ALTER SYSTEM SET autovacuum = on; SELECT pg_reload_conf();",
        )


CHECKS = (
    Check("autovacuum", autovacuum),
    Check("dead rows", dead_rows),
    Check("sizes", sizes),
)
