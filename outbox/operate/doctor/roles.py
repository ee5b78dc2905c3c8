"""What Herald's role must be allowed to do, and what the roles named after its schema may do."""

from collections.abc import Iterator

from herald.outbox.operate.doctor.database import Database
from herald.outbox.operate.doctor.finding import Finding, Look, note, ok, problem, warning

# A login that is a member of Herald's roles does what they do; any other is taken for one that runs all processes.
_LACKING = """
WITH part AS MATERIALIZED (
    SELECT DISTINCT w.role FROM wanted_grants AS w JOIN pg_roles AS r ON r.rolname = w.role
    WHERE w.role ~ '_(api|relay|pipeline|reader)$' AND pg_has_role(w.role, 'USAGE')
        AND NOT pg_has_role((SELECT relowner FROM pg_class WHERE oid = 'outbox'::regclass), 'USAGE')
),
need AS (
    SELECT DISTINCT kind, name, privilege FROM wanted_grants
    WHERE kind <> 'SCHEMA' AND CASE WHEN EXISTS (SELECT FROM part) THEN role IN (SELECT role FROM part)
        ELSE role ~ '_(api|relay|pipeline)$' END
)
SELECT count(*) OVER () AS needed, kind, name, privileges, lacking FROM (
    SELECT kind, name, array_agg(privilege ORDER BY privilege) AS privileges,
        array_agg(privilege ORDER BY privilege) FILTER (WHERE NOT coalesce(CASE kind
            WHEN 'SEQUENCE' THEN has_sequence_privilege(to_regclass(name), privilege)
            WHEN 'FUNCTION' THEN has_function_privilege(to_regprocedure(name), privilege)
            ELSE has_table_privilege(to_regclass(name), privilege) END, false)) AS lacking
    FROM need GROUP BY kind, name
) AS found ORDER BY kind, name
"""

_POWERS = """
SELECT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS is_superuser,
    has_table_privilege('outbox', 'UPDATE') OR has_table_privilege('outbox', 'DELETE')
        OR has_table_privilege('outbox', 'TRUNCATE') AS may_change,
    has_schema_privilege(p.proowner, p.pronamespace, 'CREATE') AS makes_partitions,
    (SELECT bool_and(pg_has_role(p.proowner, c.relowner, 'USAGE')) FROM pg_class AS c
     WHERE c.oid IN ('outbox'::regclass, 'messages'::regclass)) AS owns_tables,
    p.pronamespace::regnamespace::text AS schema, p.proowner::regrole::text AS owner
FROM pg_proc AS p WHERE p.oid = 'outbox_make_partitions(interval, timestamptz)'::regprocedure
"""

# What is granted directly to Herald's roles or, of functions, to everybody, beside what is wanted.
_DIFFERENCES = """
WITH ours AS (SELECT relnamespace AS schema FROM pg_class WHERE oid = 'outbox'::regclass),
wanted AS (
    SELECT r.oid AS grantee, w.kind, CASE w.kind WHEN 'SCHEMA' THEN (SELECT schema::oid FROM ours)
        WHEN 'FUNCTION' THEN to_regprocedure(w.name)::oid ELSE to_regclass(w.name)::oid END AS object, w.privilege
    FROM wanted_grants AS w JOIN pg_roles AS r ON r.rolname = w.role
),
granted AS (
    SELECT a.grantee, CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind, c.oid AS object,
        a.privilege_type AS privilege
    FROM pg_class AS c, ours, aclexplode(c.relacl) AS a WHERE c.relnamespace = ours.schema AND a.grantee <> c.relowner
    UNION ALL
    SELECT a.grantee, 'FUNCTION', p.oid, a.privilege_type
    FROM pg_proc AS p, ours, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a
    WHERE p.pronamespace = ours.schema AND a.grantee <> p.proowner
    UNION ALL
    SELECT a.grantee, 'SCHEMA', n.oid, a.privilege_type
    FROM pg_namespace AS n, ours, aclexplode(n.nspacl) AS a WHERE n.oid = ours.schema AND a.grantee <> n.nspowner
)
SELECT CASE d.grantee WHEN 0 THEN 'PUBLIC' ELSE d.grantee::regrole::text END AS role, d.kind, d.is_lacking,
    CASE d.kind WHEN 'SCHEMA' THEN d.object::regnamespace::text WHEN 'FUNCTION' THEN d.object::regprocedure::text
        ELSE d.object::regclass::text END AS name,
    string_agg(d.privilege, ', ' ORDER BY d.privilege) AS privileges
FROM (SELECT *, true AS is_lacking FROM (TABLE wanted EXCEPT TABLE granted) AS lacking
      WHERE NOT (kind = 'FUNCTION' AND EXISTS (
          SELECT FROM pg_proc AS p WHERE p.oid = object AND p.proowner = grantee))
      UNION ALL SELECT *, false FROM (TABLE granted EXCEPT TABLE wanted) AS more
      WHERE grantee = 0 OR grantee IN (SELECT grantee FROM wanted)) AS d
GROUP BY 1, 2, 3, 4 ORDER BY 3 DESC, 1, 2, 4
"""

# What no grant on a table shows: what a role gets from another, is by itself, owns, may do with a column, and may give
# to others; and who acts as the role that writes for senders.
_BEYOND = """
WITH ours AS (SELECT * FROM pg_roles WHERE rolname IN (SELECT role FROM wanted_grants)),
kept AS (SELECT oid, relname, relowner, relacl, relnamespace::regnamespace AS schema FROM pg_class
    WHERE relkind IN ('r', 'p', 'v', 'S')
        AND relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'outbox'::regclass))
SELECT rolname::text AS role, 'is a member of ' || g.roleid::regrole AS text,
    format('REVOKE %s FROM %I', g.roleid::regrole, rolname) AS advice
FROM ours JOIN pg_auth_members AS g ON g.member = ours.oid
UNION ALL
SELECT g.member::regrole::text, 'acts as ' || ours.rolname, format('REVOKE %I FROM %s', ours.rolname, g.member::regrole)
FROM ours JOIN pg_auth_members AS g ON g.roleid = ours.oid JOIN pg_roles AS m ON m.oid = g.member
WHERE ours.rolname ~ '_owner$' AND NOT m.rolsuper AND m.oid NOT IN (SELECT oid FROM ours)
    AND pg_has_role(g.member, g.roleid, 'USAGE')
    AND NOT pg_has_role(g.member, (SELECT relowner FROM kept WHERE relname = 'outbox'), 'USAGE')
UNION ALL
SELECT rolname, 'is ' || power, format('ALTER ROLE %I NO%s', rolname, power)
FROM ours, unnest(ARRAY[CASE WHEN rolsuper THEN 'SUPERUSER' END, CASE WHEN rolcreaterole THEN 'CREATEROLE' END,
    CASE WHEN rolcreatedb THEN 'CREATEDB' END, CASE WHEN rolreplication THEN 'REPLICATION' END,
    CASE WHEN rolbypassrls THEN 'BYPASSRLS' END]) AS power WHERE power IS NOT NULL
UNION ALL
SELECT rolname, 'owns ' || relname, format('ALTER TABLE %s.%I OWNER TO CURRENT_USER', schema, relname)
FROM ours JOIN kept ON relowner = ours.oid
UNION ALL
SELECT rolname, format('%s of %s on %s', a.privilege_type, attname, relname),
    format('REVOKE %s (%I) ON %s.%I FROM %I', a.privilege_type, attname, schema, relname, rolname)
FROM kept JOIN pg_attribute ON attrelid = kept.oid, aclexplode(attacl) AS a JOIN ours ON ours.oid = a.grantee
UNION ALL
SELECT rolname, format('may grant %s on %s', a.privilege_type, relname),
    format('REVOKE GRANT OPTION FOR %s ON %s.%I FROM %I', a.privilege_type, schema, relname, rolname)
FROM kept, aclexplode(relacl) AS a JOIN ours ON ours.oid = a.grantee WHERE a.is_grantable AND relowner <> ours.oid
ORDER BY 1, 2
"""
_MISSING = """
SELECT DISTINCT role FROM wanted_grants AS w
WHERE NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = w.role) ORDER BY role
"""
_LOGINS = """
SELECT rolname::text AS role FROM pg_roles WHERE rolcanlogin AND rolname IN (SELECT role FROM wanted_grants) ORDER BY 1
"""
_STILL_OWNED = """
SELECT count(*) AS still
FROM role_statements AS s JOIN pg_proc AS p ON p.oid = to_regprocedure(s.function)
JOIN pg_roles AS r ON r.oid = p.proowner WHERE r.rolname <> s.role
"""


def granted(database: Database) -> Look:
    """Everything that the statements of this role's processes touch."""
    found = database.ask(_LACKING)
    for row in found:
        if row["lacking"]:
            wanted = ", ".join(row["lacking"])
            text = f"{database.role} lacks {wanted} on {row['name']}"
            yield problem(text, f"GRANT {wanted} ON {row['kind']} {database.schema}.{row['name']} TO {database.role};")
    needed = sum(len(row["privileges"]) for row in found)
    return f"{database.role} has the {needed} privileges that its processes need"


def powers(database: Database) -> Iterator[Finding]:
    """More than needed, and what only an owner can do."""
    found = database.row(_POWERS)
    if not (found["makes_partitions"] and found["owns_tables"]):
        text = f"{found['owner']}, whose function makes partitions, may not: create tables in {found['schema']}"
        yield problem(f"{text}, and own Herald's", f"GRANT CREATE ON SCHEMA {found['schema']} TO {found['owner']};")
    if found["is_superuser"]:
        yield note(f"{database.role} is a superuser; it need not be. A trigger refuses changes of the log all the same")
    elif found["may_change"]:
        yield note(f"{database.role} may change the log, as its owner does; a trigger refuses it all the same")
    else:
        yield ok(f"{database.role} cannot change the log")


def named(database: Database) -> Look:
    """Herald's roles have what they need and nothing else, and nobody else runs a function."""
    if missing := [row["role"] for row in database.ask(_MISSING)]:
        yield note(f"not made, for the migration may not: {', '.join(missing)}", "`herald roles` prints their SQL.")
    for row in database.ask(_LOGINS):
        text = f"{row['role']} can log in, and has Herald's rights by its name alone"
        yield problem(text, f"ALTER ROLE {row['role']} NOLOGIN;")
    for row in database.ask(_DIFFERENCES):
        place = f"{row['privileges']} ON {row['kind']} {_qualified(database, row['kind'], row['name'])}"
        if row["is_lacking"]:
            text = f"{row['role']} lacks {row['privileges']} on {row['name']}"
            yield problem(text, f"GRANT {place} TO {row['role']};")
        else:
            text = f"{row['role']} has more than it needs: {row['privileges']} on {row['name']}"
            yield warning(text, f"REVOKE {place} FROM {row['role']};")
    for row in database.ask(_BEYOND):
        yield warning(f"{row['role']} has more than it needs: {row['text']}", f"{row['advice']};")
    if not missing and (still := database.row(_STILL_OWNED)["still"]):
        text = f"{still} functions that write for others do not belong to the role made for it"
        yield note(text, "`herald roles` prints the SQL.")
    return "each role has what it needs and nothing else"


def _qualified(database: Database, kind: str, name: str) -> str:
    return name if kind == "SCHEMA" else f"{database.schema}.{name}"


CHECKS = {"grants": granted, "role": powers, "roles": named}
