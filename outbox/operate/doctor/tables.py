"""Herald's tables: migrated, partitioned ahead, guarded, with whole indexes, a sequence above them, and their sizes."""

from collections.abc import Iterator

from alembic.script import ScriptDirectory

from herald.outbox.operate.doctor.database import Database
from herald.outbox.operate.doctor.finding import Checks, Finding, Look, ok, problem, warning
from herald.outbox.operate.migrate import make_config
from herald.outbox.operate.shown import duration, size
from herald.outbox.scheduler.partitions import width_for

PARTITIONED = ("outbox", "messages")
AHEAD = 7 * 86_400.0  # seconds; a relay, which makes them each minute, leaves 35 days
DEAD_SHARE = 0.2  # of the rows; autovacuum comes at this by default
DEAD_ROWS = 10_000  # fewer are not worth a word

# The sequence is read last: what is drawn meanwhile can only make it look higher.
_POSITIONS = """
SELECT highest, coalesce((SELECT last_value FROM pg_sequences WHERE sequencename = 'outbox_position'
    AND schemaname = (SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = 'outbox'::regclass)), 0)
    AS drawn
FROM (SELECT greatest((SELECT max(position) FROM outbox WHERE topic IS NOT NULL),
                      (SELECT max(greatest(floor, last_position)) FROM relay_cursor), 0) AS highest OFFSET 0) AS found
"""
_SET_POSITION = (
    "SELECT setval('{schema}.outbox_position', greatest((SELECT max(position) FROM {schema}.outbox),"
    " (SELECT max(greatest(floor, last_position)) FROM {schema}.relay_cursor)));"
)

# Without an id for the present there is no partition to put it in.
_PARTITIONS = """
SELECT parent, max(ends_at) AS newest, extract(epoch FROM max(ends_at) - clock_timestamp())::float8 AS left,
    count(*) FILTER (WHERE coalesce(begins_at <= clock_timestamp(), true) AND ends_at > clock_timestamp()) AS present
FROM unnest(%(parents)s) AS whole(parent) LEFT JOIN partitions USING (parent)
GROUP BY parent ORDER BY parent
"""

_CLOSING = "SELECT waits_for, closed_at::text AS closed_at FROM closing"

_INVALID = """
SELECT i.indexrelid::regclass::text AS name, i.indrelid::regclass::text AS parent, c.relkind = 'I' AS is_partitioned
FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
WHERE NOT i.indisvalid AND c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'outbox'::regclass)
ORDER BY 1
"""

_TABLES = """
SELECT c.oid::regclass::text AS name, pg_table_size(c.oid)::float8 AS bytes, pg_indexes_size(c.oid)::float8 AS indexes,
    coalesce(s.n_live_tup, 0) AS live, coalesce(s.n_dead_tup, 0) AS dead,
    extract(epoch FROM clock_timestamp() - greatest(s.last_vacuum, s.last_autovacuum))::float8 AS vacuumed
FROM pg_class AS c LEFT JOIN pg_stat_user_tables AS s ON s.relid = c.oid
WHERE c.relkind = 'r' AND c.relname <> 'alembic_version'
  AND c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'outbox'::regclass)
ORDER BY c.oid::regclass::text
"""

_GUARDS = """
SELECT wanted.name, t.tgenabled IN ('O', 'A') AS is_on
FROM unnest('{outbox_is_append_only,outbox_is_not_truncated}'::text[]) AS wanted(name)
LEFT JOIN pg_trigger AS t ON t.tgrelid = 'outbox'::regclass AND t.tgname = wanted.name
"""


def revision_of(database: Database) -> str | None:
    """The database's revision; None before the first migration. Raises PostgresError."""
    if database.row("SELECT to_regclass('alembic_version') IS NULL AS is_new")["is_new"]:
        return None
    found = database.ask("SELECT version_num FROM alembic_version")
    return str(found[0]["version_num"]) if found else None


def migrated(database: Database) -> Look:
    """The database's revision is the newest that this release knows."""
    scripts, revision = ScriptDirectory.from_config(make_config()), revision_of(database)
    newest = scripts.get_current_head()
    if revision is None:
        yield problem("the tables are missing", "herald migrate")
    elif revision not in {script.revision for script in scripts.walk_revisions()}:
        text = f"at {revision}, which this release does not know (it knows {newest})"
        yield warning(text, "Install the release that migrated it.")
    elif revision != newest:
        yield problem(f"at {revision}, this release needs {newest}", "herald migrate")
    return f"at {revision}, the newest"


def positions(database: Database) -> Look:
    """The sequence is above every position: what comes below the cursor is never published."""
    found = database.row(_POSITIONS)
    text = f"the sequence has drawn {found['drawn']:,}, the highest position is {found['highest']:,}"
    if found["drawn"] < found["highest"]:
        set_position = _SET_POSITION.format(schema=database.schema)
        yield problem(f"{text}: what is accepted next may never be published", set_position)
    return text


def make_statement(database: Database) -> str:
    """The SQL that makes the partitions ahead, as wide as the relay makes them."""
    width = width_for(database.settings.retention)
    return f"SELECT {database.schema}.outbox_make_partitions(interval '{width}', clock_timestamp());"


def partitions(database: Database) -> Iterator[Finding]:
    """The relay makes them each minute, 35 days ahead at least; where the present has none, accepting fails."""
    make = f"{make_statement(database)} A relay that leads does it each minute."
    for row in database.ask(_PARTITIONS, parents=list(PARTITIONED)):
        if not row["present"]:
            yield problem(f"{row['parent']} has no partition for the present: accepting fails", make)
        elif row["left"] < AHEAD:
            text = f"{row['parent']} has partitions for {duration(row['left'])} only: then accepting fails"
            yield warning(text, make)
        else:
            yield ok(f"{row['parent']} has partitions until {row['newest']:%Y-%m-%d %H:%M}")


def old_data(database: Database) -> Iterator[Finding]:
    """What a closing of the books waits for; nothing leaves meanwhile."""
    for row in database.ask(_CLOSING):
        if row["waits_for"]:
            text = f"old data cannot leave: it waits for {row['waits_for']}"
            yield warning(text, "See not published, open transactions and lock waits.")
        else:
            yield ok(f"last left at {row['closed_at']}" if row["closed_at"] else "none has left so far")


def indexes(database: Database) -> Look:
    """An index that was not finished is written and never read."""
    for row in database.ask(_INVALID):
        text = f"{row['name']} on {row['parent']} is invalid: it costs every write and helps no read"
        again = "DROP INDEX {name}; herald migrate" if row["is_partitioned"] else "REINDEX INDEX CONCURRENTLY {name};"
        yield warning(text, again.format(name=f"{database.schema}.{row['name']}"))
    return "all are valid"


def guards(database: Database) -> Iterator[Finding]:
    """The triggers that keep the log append-only, whatever a role may do."""
    for row in database.ask(_GUARDS):
        name, changed = row["name"], "events could be changed"
        if row["is_on"] is None:
            yield problem(f"the trigger {name} is missing: {changed}", "Restore it: migration 0001.")
        elif row["is_on"]:
            yield ok(f"{name} is enabled")
        else:
            enable = f"ALTER TABLE {database.schema}.outbox ENABLE TRIGGER {name};"
            yield problem(f"the trigger {name} is disabled: {changed}", enable)


def sizes(database: Database) -> Iterator[Finding]:
    """Each partition and each other table."""
    for row in database.ask(_TABLES):
        amounts = f"{size(row['bytes'])}, indexes {size(row['indexes'])}, about {row['live']:,} rows"
        yield ok(f"{row['name']}: {amounts}")


def dead_rows(database: Database) -> Look:
    """What autovacuum should have taken away."""
    found = database.ask(_TABLES)
    for row in found:
        name, dead, total = row["name"], row["dead"], row["live"] + row["dead"]
        if dead > max(DEAD_ROWS, DEAD_SHARE * total):
            advice = "See the open transactions above; once there are none:"
            advice += f" VACUUM (ANALYZE) {database.schema}.{name};"
            yield warning(f"{dead:,} rows of {name} are dead ({dead / total:.0%})", advice)
    return f"{sum(row['dead'] for row in found):,} in all tables"


def autovacuum(database: Database) -> Look:
    """Without it the queue's tables only grow."""
    if database.row("SELECT current_setting('autovacuum') AS state")["state"] != "on":
        switch_on = "ALTER SYSTEM SET autovacuum = on; SELECT pg_reload_conf();"
        yield problem("off: dead rows stay, and statements get slower", switch_on)
    return "on"


CHECKS: Checks[Database] = {
    "positions": positions,
    "partitions": partitions,
    "due partitions": old_data,
    "indexes": indexes,
    "append-only": guards,
}
SIZES: Checks[Database] = {"autovacuum": autovacuum, "dead rows": dead_rows, "sizes": sizes}
