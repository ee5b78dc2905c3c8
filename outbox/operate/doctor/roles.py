"""What Herald's role must be allowed to do."""

from collections.abc import Iterator
from typing import NamedTuple

from herald.outbox.operate.doctor.database import Database
from herald.outbox.operate.doctor.finding import Finding, Look, note, ok, problem
from herald.outbox.operate.doctor.tables import make_statement


class Need(NamedTuple):
    """Privileges on one object, as `GRANT privileges ON [kind] name` says it."""

    kind: str
    name: str
    privileges: tuple[str, ...]


NEEDS = (
    Need("TABLE", "outbox", ("SELECT", "INSERT")),
    Need("SEQUENCE", "outbox_position", ("USAGE",)),
    Need("TABLE", "messages", ("SELECT", "INSERT", "UPDATE")),
    Need("TABLE", "unfinished", ("SELECT", "INSERT", "UPDATE", "DELETE")),
    Need("TABLE", "waiting", ("SELECT", "INSERT", "UPDATE", "DELETE")),
    Need("TABLE", "unsent", ("SELECT", "INSERT", "UPDATE", "DELETE")),
    Need("TABLE", "leases", ("SELECT", "INSERT", "UPDATE", "DELETE")),
    Need("TABLE", "queue_differences", ("SELECT",)),
    Need("TABLE", "relay_cursor", ("SELECT", "INSERT", "UPDATE")),
    Need("TABLE", "relay_pages", ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE")),
    Need("TABLE", "relay_withheld", ("SELECT", "INSERT", "UPDATE", "DELETE")),
    Need("TABLE", "set_aside", ("SELECT", "INSERT", "UPDATE", "DELETE")),
    Need("TABLE", "breakers", ("SELECT", "INSERT", "UPDATE", "DELETE")),
    Need("TABLE", "pauses", ("SELECT", "INSERT", "UPDATE", "DELETE")),
    Need("TABLE", "requeues", ("SELECT", "INSERT", "UPDATE", "DELETE")),
    Need("TABLE", "closing", ("SELECT", "UPDATE")),
    Need("TABLE", "closing_changes", ("SELECT", "INSERT", "DELETE")),
    Need("TABLE", "partitions", ("SELECT",)),
    Need("TABLE", "idempotency_keys_even", ("SELECT", "INSERT", "UPDATE", "TRUNCATE")),
    Need("TABLE", "idempotency_keys_odd", ("SELECT", "INSERT", "UPDATE", "TRUNCATE")),
    Need("TABLE", "event_types", ("SELECT",)),
    Need("TABLE", "instance", ("SELECT", "UPDATE")),
    Need("TABLE", "alembic_version", ("SELECT",)),
)

_LACKING = """
SELECT need.kind, need.name, array_agg(need.privilege ORDER BY need.place) AS privileges
FROM unnest(%(kinds)s, %(names)s, %(privileges)s) WITH ORDINALITY AS need(kind, name, privilege, place)
WHERE NOT CASE need.kind
    WHEN 'SEQUENCE' THEN has_sequence_privilege(to_regclass(need.name), need.privilege)
    ELSE has_table_privilege(to_regclass(need.name), need.privilege) END
GROUP BY need.kind, need.name ORDER BY min(need.place)
"""

_POWERS = """
SELECT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS is_superuser,
    bool_and(pg_has_role(c.relowner, 'USAGE')) AS is_owner,
    has_table_privilege('outbox', 'UPDATE') OR has_table_privilege('outbox', 'DELETE')
        OR has_table_privilege('outbox', 'TRUNCATE') AS may_change,
    has_schema_privilege(c.relnamespace, 'CREATE') AS may_create,
    c.relnamespace::regnamespace::text AS schema, string_agg(DISTINCT c.relowner::regrole::text, ', ') AS owner
FROM pg_class AS c WHERE c.oid IN ('outbox'::regclass, 'messages'::regclass)
GROUP BY c.relnamespace
"""


def granted(database: Database) -> Look:
    """Everything that Herald's statements touch."""
    needs = [(need.kind, need.name, privilege) for need in NEEDS for privilege in need.privileges]
    kinds, names, privileges = (list(column) for column in zip(*needs, strict=True))
    for row in database.ask(_LACKING, kinds=kinds, names=names, privileges=privileges):
        wanted = ", ".join(row["privileges"])
        text = f"{database.role} lacks {wanted} on {row['name']}"
        yield problem(text, f"GRANT {wanted} ON {row['kind']} {database.schema}.{row['name']} TO {database.role};")
    return f"{database.role} has the {len(needs)} privileges that Herald needs"


def powers(database: Database) -> Iterator[Finding]:
    """More than needed, and what only an owner can do."""
    found = database.row(_POWERS)
    if not found["is_owner"]:
        yield note(
            f"{database.role} does not own the tables, {found['owner']} does: its relay cannot make or drop partitions",
            f"As {found['owner']}, let it run the relay; or, each day: {make_statement(database)}",
        )
    elif not found["may_create"]:
        text = f"{database.role} may not create tables in {found['schema']}: its relay cannot make partitions"
        yield problem(text, f"GRANT CREATE ON SCHEMA {found['schema']} TO {database.role};")
    if found["is_superuser"]:
        yield note(f"{database.role} is a superuser; it need not be. A trigger refuses changes of the log all the same")
    elif found["may_change"]:
        yield note(f"{database.role} may change the log, as its owner does; a trigger refuses it all the same")
    else:
        yield ok(f"{database.role} cannot change the log")


CHECKS = {"grants": granted, "role": powers}
