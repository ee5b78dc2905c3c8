"""Herald's tables: migrated, partitioned ahead, guarded, with whole indexes and a sequence that is above them."""

from collections.abc import Iterator

from alembic.script import ScriptDirectory
from alembic.util import CommandError

from outbox.doctor.database import Database
from outbox.doctor.finding import Check, Finding, ok, problem, warning
from outbox.migrate import make_config
from outbox.scheduler.partitions import MONTHS_AHEAD

PARTITIONED = ("outbox", "messages")

# The sequence is read last: what is drawn meanwhile can only make it look higher.
_POSITIONS = """
SELECT highest, coalesce((SELECT last_value FROM pg_sequences WHERE sequencename = 'outbox_position'
    AND schemaname = (SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = 'outbox'::regclass)), 0)
    AS drawn
FROM (SELECT greatest((SELECT max(position) FROM outbox WHERE topic IS NOT NULL),
                      (SELECT max(greatest(floor, last_position)) FROM relay_cursor), 0) AS highest OFFSET 0) AS found
"""
_SET_POSITION = (
    "SELECT setval('outbox_position',"
    " greatest((SELECT max(position) FROM outbox), (SELECT max(greatest(floor, last_position)) FROM relay_cursor)));"
)

_PARTITIONS = """
SELECT parent.name AS parent, months.ahead, to_char(months.month AT TIME ZONE 'UTC', 'YYYY-MM') AS month,
    extract(epoch FROM months.month - clock_timestamp()) / 86400 AS days, EXISTS (
        SELECT FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
        WHERE i.inhparent = to_regclass(parent.name)
          AND pg_get_expr(c.relpartbound, c.oid)
              LIKE '%% TO (''' || outbox_month_bound(months.month + interval '1 month') || ''')') AS is_there
FROM unnest(%(parents)s) AS parent(name), (
    SELECT ahead, date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'
        + make_interval(months => ahead) AS month
    FROM generate_series(0, %(ahead)s) AS ahead
) AS months
ORDER BY months.ahead, parent.name
"""

_INVALID = """
SELECT i.indexrelid::regclass::text AS name, i.indrelid::regclass::text AS parent, c.relkind = 'I' AS is_partitioned
FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
WHERE NOT i.indisvalid AND c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'outbox'::regclass)
ORDER BY 1
"""

_GUARDS = """
SELECT wanted.name, t.tgenabled IN ('O', 'A') AS is_on
FROM unnest('{outbox_is_append_only,outbox_is_not_truncated}'::text[]) AS wanted(name)
LEFT JOIN pg_trigger AS t ON t.tgrelid = 'outbox'::regclass AND t.tgname = wanted.name
"""


def revision_of(database: Database) -> str | None:
    """The database's revision; None before the first migration. Raises psycopg2.Error."""
    if database.row("SELECT to_regclass('alembic_version') IS NULL AS is_new")["is_new"]:
        return None
    found = database.ask("SELECT version_num FROM alembic_version")
    return str(found[0]["version_num"]) if found else None


def migrated(database: Database) -> Iterator[Finding]:
    """The database's revision is the newest that this release knows."""
    scripts, revision = ScriptDirectory.from_config(make_config()), revision_of(database)
    newest = scripts.get_current_head()
    if revision == newest:
        yield ok(f"at {revision}, the newest")
    elif revision is None:
        yield problem("the tables are missing", "herald migrate")
    elif _is_known(scripts, revision):
        yield problem(f"at {revision}, this release needs {newest}", "herald migrate")
    else:
        yield warning(
            f"at {revision}, which this release does not know (it knows {newest})",
            "Install the release that migrated it.",
        )


def _is_known(scripts: ScriptDirectory, revision: str) -> bool:
    try:
        return scripts.get_revision(revision) is not None
    except CommandError:
        return False


def positions(database: Database) -> Iterator[Finding]:
    """The sequence is above every position: what comes below the cursor is never published."""
    found = database.row(_POSITIONS)
    text = f"the sequence has drawn {found['drawn']:,}, the highest position is {found['highest']:,}"
    if found["drawn"] < found["highest"]:
        yield problem(f"{text}: what is accepted next may never be published", _SET_POSITION)
    else:
        yield ok(text)


def partitions(database: Database) -> Iterator[Finding]:
    """Without the present month's, accepting fails; without the next one's, it will."""
    found = database.ask(_PARTITIONS, parents=list(PARTITIONED), ahead=MONTHS_AHEAD)
    missing = [row for row in found if not row["is_there"]]
    make = f"SELECT outbox_make_partitions({MONTHS_AHEAD}); The relay does it each hour, if its role owns the tables."
    for row in missing:
        if row["ahead"] == 0:
            yield problem(f"{row['parent']} has no partition for this month, {row['month']}: accepting fails", make)
        else:
            text = f"{row['parent']} has no partition for {row['month']}: accepting will fail in {row['days']:.0f} days"
            yield warning(text, make)
    if not missing:
        yield ok(f"there up to {found[-1]['month']}")


def indexes(database: Database) -> Iterator[Finding]:
    """An index that was not finished is written and never read."""
    invalid = database.ask(_INVALID)
    for row in invalid:
        text = f"{row['name']} on {row['parent']} is invalid: it costs every write and helps no read"
        again = "DROP INDEX {name}; herald migrate" if row["is_partitioned"] else "REINDEX INDEX CONCURRENTLY {name};"
        yield warning(text, again.format(name=row["name"]))
    if not invalid:
        yield ok("all are valid")


def guards(database: Database) -> Iterator[Finding]:
    """The triggers that keep the log append-only, whatever a role may do."""
    for row in database.ask(_GUARDS):
        if row["is_on"] is None:
            yield problem(
                f"the trigger {row['name']} is missing: events could be changed", "Restore it: migration 0001."
            )
        elif not row["is_on"]:
            yield problem(
                f"the trigger {row['name']} is disabled: events could be changed",
                f"ALTER TABLE outbox ENABLE TRIGGER {row['name']};",
            )
        else:
            yield ok(f"{row['name']} is enabled")


CHECKS = (
    Check("positions", positions),
    Check("partitions", partitions),
    Check("indexes", indexes),
    Check("append-only", guards),
)
