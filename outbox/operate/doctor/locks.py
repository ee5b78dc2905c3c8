"""Who stands in the way: of cleaning dead rows, of changing tables, of others."""

from collections.abc import Iterator

from herald.outbox.operate.doctor.database import Database, Row
from herald.outbox.operate.doctor.finding import Checks, Finding, Look, note, ok, problem, warning
from herald.outbox.operate.shown import count, duration, size

LOCK_WAIT = 1.0  # seconds; Herald's own statements give up after HERALD_STATEMENT_TIMEOUT
OLD = 1_000_000  # transactions that a snapshot may lie back, where its age in seconds is hidden

# Herald's tables with their partitions; a lock on anything else is not our business.
_OURS = """
ours AS (
    SELECT c.oid FROM pg_class AS c
    WHERE c.relkind IN ('r', 'p')
      AND c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'outbox'::regclass)
)
"""

_OPEN = f"""
WITH {_OURS}
SELECT a.pid, a.application_name, a.usename, a.state, age(a.backend_xmin) AS behind,
    extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS seconds,
    ARRAY(SELECT DISTINCT l.relation::regclass::text FROM pg_locks AS l
          WHERE l.pid = a.pid AND l.relation IN (SELECT oid FROM ours) ORDER BY 1) AS tables
FROM pg_stat_activity AS a
WHERE a.pid <> pg_backend_pid() AND (a.datname = current_database() OR a.datid IS NULL AND a.backend_xmin IS NOT NULL)
  AND a.backend_type IN ('client backend', 'walsender')
  AND (a.xact_start <= clock_timestamp() - make_interval(secs => %(patience)s)
       OR a.xact_start IS NULL AND age(a.backend_xmin) > %(old)s)
ORDER BY a.xact_start NULLS LAST
"""

_WAITING = f"""
WITH {_OURS},
waiting AS (
    SELECT DISTINCT ON (l.pid) l.pid, l.mode, l.relation, l.waitstart, pg_blocking_pids(l.pid) AS blockers
    FROM pg_locks AS l
    WHERE NOT l.granted AND l.waitstart <= clock_timestamp() - make_interval(secs => %(patience)s)
      AND EXISTS (SELECT FROM pg_locks AS h WHERE h.pid = l.pid AND h.relation IN (SELECT oid FROM ours))
)
SELECT w.pid, a.application_name, w.mode, w.relation::regclass::text AS relation,
    extract(epoch FROM clock_timestamp() - w.waitstart)::float8 AS seconds,
    b.pid AS blocker, b.application_name AS blocker_name, b.state AS blocker_state
FROM waiting AS w JOIN pg_stat_activity AS a ON a.pid = w.pid
LEFT JOIN pg_stat_activity AS b ON b.pid = ANY (w.blockers)
ORDER BY w.waitstart
"""

_PREPARED = """
SELECT gid, quote_literal(gid) AS quoted, owner, age(transaction) AS behind,
    extract(epoch FROM clock_timestamp() - prepared)::float8 AS seconds
FROM pg_prepared_xacts
WHERE database = current_database() AND prepared <= clock_timestamp() - make_interval(secs => %(patience)s)
ORDER BY prepared
"""

_SLOTS = """
SELECT slot_name, quote_literal(slot_name) AS quoted, active, age(coalesce(xmin, catalog_xmin)) AS behind,
    pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END,
                    restart_lsn)::float8 AS wal
FROM pg_replication_slots ORDER BY slot_name
"""


def open_transactions(database: Database) -> Iterator[Finding]:
    """An old transaction keeps every row that died since, and every change of a table it has read."""
    found = database.ask(_OPEN, patience=database.patience, old=OLD)
    for row in found:
        yield warning(_transaction(row), _end(row["pid"]))
    if not found:
        yield ok(f"none open for {duration(database.patience)}")
    if not database.sees_everybody:
        grant = f"GRANT pg_read_all_stats TO {database.role};"
        yield note("the age of other roles' transactions is hidden from this role", grant)


def _transaction(row: Row) -> str:
    age = "a transaction of unknown age" if row["seconds"] is None else f"{duration(row['seconds'])} in a transaction"
    text = f"pid {row['pid']} ({row['application_name'] or 'no name'}, {row['usename']}, {row['state']}): {age}"
    if row["behind"] is not None:
        text += f"; it keeps what died in the last {count(row['behind'], 'transaction')}"
    if row["tables"]:
        text += f"; changes of {', '.join(row['tables'])} wait for it"
    return text


def _end(pid: int) -> str:
    return f"Look at what it does, then end it: SELECT pg_terminate_backend({pid});"


def waits(database: Database) -> Look:
    """Who waits for a lock while it uses Herald's tables, and for whom."""
    for row in database.ask(_WAITING, patience=LOCK_WAIT):
        text = f"pid {row['pid']} ({row['application_name']}) waits {duration(row['seconds'])} for {row['mode']}"
        text += f" on {row['relation'] or 'a row'}"
        if row["blocker"] is None:
            yield warning(f"{text}, held by a prepared transaction", "See the prepared transactions below.")
        else:
            holder = f"pid {row['blocker']} ({row['blocker_name']}, {row['blocker_state']})"
            yield warning(f"{text}, behind {holder}", _end(row["blocker"]))
    return f"nobody waits for {LOCK_WAIT:g} s"


def prepared(database: Database) -> Look:
    """Prepared by a transaction manager that never came back: no restart ends them."""
    for row in database.ask(_PREPARED, patience=database.patience):
        yield problem(
            f"{row['gid']} of {row['owner']} is prepared since {duration(row['seconds'])}: it keeps its locks, and"
            f" what died in the last {count(row['behind'], 'transaction')}",
            f"ROLLBACK PREPARED {row['quoted']}; or, if its manager says so, COMMIT PREPARED {row['quoted']};",
        )
    return f"none older than {duration(database.patience)}"


def slots(database: Database) -> Look:
    """A slot that nobody reads keeps WAL until the disk is full."""
    for row in database.ask(_SLOTS):
        text = f"{row['slot_name']} keeps {size(row['wal'] or 0)} of WAL"
        if row["behind"] is not None:
            text += f" and what died in the last {count(row['behind'], 'transaction')}"
        if row["active"]:
            yield ok(text)
        else:
            drop = f"SELECT pg_drop_replication_slot({row['quoted']});"
            yield warning(f"{text}, and nobody reads it", f"Start its reader; or, if it is gone for good: {drop}")
    return "none"


CHECKS: Checks[Database] = {
    "open transactions": open_transactions,
    "lock waits": waits,
    "prepared transactions": prepared,
    "replication slots": slots,
}
