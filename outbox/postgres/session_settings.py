"""What Herald sets for each of its sessions, so that neither a role nor a database decides it.

`ALTER ROLE … SET` and `ALTER DATABASE … SET` reach every session. What is missing here is theirs on purpose: the role
says what Herald may do, `default_transaction_read_only` is an operator's brake, memory and the cost of disks are known
to them. A pooler in session mode takes all of it back before a stranger gets the session (PgBouncer: DISCARD ALL).
"""

from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import execute

# PostgreSQL 18 (18.4 was tried) ends with a segmentation fault where a statement finds a row changed under its lock and
# then chooses partitions while it runs: perform_pruning_base_step() reads what the re-check has freed.
CRASHES_SINCE = 180_000

ALWAYS = {
    # an answer after COMMIT means that it is on disk
    "synchronous_commit": "on",
    # each statement sees what is committed when it begins
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
    # a row hidden by a policy would be a message that nobody sends: better an error
    "row_security": "off",
    # texts that Herald and its driver read
    "timezone": "UTC",
    "datestyle": "ISO, MDY",
    "intervalstyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    # what a statement means
    "transform_null_equals": "off",
    "array_nulls": "on",
    # nobody but Herald says how long it may wait
    "lock_timeout": "0",
    "idle_session_timeout": "0",
    "transaction_timeout": "0",
    # Plans that hold at every size. From 100,000 messages on, PostgreSQL 18 starts two processes for a look that finds
    # nothing: 4.2 instead of 0.6 ms.
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
    "plan_cache_mode": "auto",
    "enable_nestloop": "on",
    "enable_indexscan": "on",
    "enable_indexonlyscan": "on",
    # partitions are updated, which not every kind of table can be
    "default_table_access_method": "heap",
}

# For a session that runs the same statements again and again: each is planned once, without its values. The plan has to
# hold at every size, and on an empty table a scan seems the cheapest: a pipeline that began so took 7.5 s at 1,000
# messages a second.
STEADY = {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off"}

# those that this server knows, and has otherwise
_SET = """
SELECT set_config(name, value, false) FROM unnest(%s::text[], %s::text[]) AS wanted(name, value)
WHERE current_setting(name, true) <> value
"""


def search_path(schema: str) -> str:
    """Where names are looked for: in Herald's own schema and in PostgreSQL's, never in one that others write to.

    Ours comes first, so that a clock for tests can stand in it; temporary tables, which would come before, come last.
    """
    return f"{schema}, pg_catalog, pg_temp"


def set_up(opened: Connection, *, schema: str, statement_timeout: float, is_steady: bool = False) -> None:
    """Set them for as long as the session lasts; `statement_timeout` in seconds, 0 for none. Raises PostgresError."""
    milliseconds = round(statement_timeout * 1000)
    wanted = {
        **ALWAYS,
        **(STEADY if is_steady else {}),
        "search_path": search_path(schema),
        "statement_timeout": str(milliseconds),
        "idle_in_transaction_session_timeout": str(2 * milliseconds),
    }
    if opened.server_version >= CRASHES_SINCE:
        wanted["enable_partition_pruning"] = "off"
    execute(opened, _SET, list(wanted), list(wanted.values()))
