"""Whether Herald can work over a connection, asked before anything is set: each check answers with a sentence, or not.

A sentence names what is wrong and the cure. Who finds one ends at its start; once at work, it counts as an outage.
A standby always does: during a fail-over the address may lead to one for some seconds.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from herald.outbox.postgres.driver import Connection, OperationalError
from herald.outbox.postgres.statements import fetch_one

OLDEST = 14  # major version of PostgreSQL

_FACTS = """
SELECT pg_backend_pid(), pg_is_in_recovery(), getdatabaseencoding(), current_setting('standard_conforming_strings'),
    current_setting('session_replication_role'), quote_ident(current_user), quote_ident(current_database()),
    current_setting('default_transaction_read_only') = 'on', quote_ident(asked.name), n.oid IS NOT NULL,
    coalesce(has_schema_privilege(n.oid, 'USAGE'), false),
    CASE WHEN n.oid IS NULL THEN has_database_privilege(current_database(), 'CREATE')
        ELSE has_schema_privilege(n.oid, 'CREATE') END
FROM (VALUES (%s)) AS asked(name) LEFT JOIN pg_namespace AS n ON n.nspname = asked.name
"""


class UnfitError(OperationalError):
    """Herald cannot work over this connection; the text is one sentence that names the cure."""


class StandbyError(OperationalError):
    """The address leads to a standby, as during a fail-over: waited for like a server that is absent."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What was found of a connection before anything is set."""

    version: int  # as in 180004
    is_pooled: bool  # something in between has a key of its own
    session: int  # process id
    is_standby: bool
    encoding: str
    conforming_strings: str
    replication_role: str
    role: str  # quoted
    database: str  # quoted
    is_read_only: bool  # by default
    schema: str  # quoted
    has_schema: bool
    may_use: bool  # what is in it
    may_create: bool  # tables in it; or, where it is missing, the schema
    is_shared: bool = False  # the session is not this connection's alone


Check = Callable[[Facts], str | None]


def read_facts(opened: Connection, schema: str) -> Facts:
    """Ask in one statement; the connection is in autocommit. Raises PostgresError."""
    found = fetch_one(opened, _FACTS, schema)
    return Facts(opened.server_version, opened.info.backend_pid != found[0], *found)


def refuse_unfit(facts: Facts, checks: Iterable[Check]) -> None:
    """Raises UnfitError with the first sentence, or what a check raises."""
    for check in checks:
        if sentence := check(facts):
            raise UnfitError(sentence)


def pooler(facts: Facts) -> str | None:
    """A session of one's own: what is set, locked or listened to on a shared one is somebody else's a moment later."""
    if not facts.is_shared:
        return None
    return (
        "DATABASE_URL leads through a pooler in transaction mode, which gives one session to many: let it name"
        " PostgreSQL itself, or a pool in session mode (PgBouncer: pool_mode = session)"
    )


def version(facts: Facts) -> str | None:
    """The statements are written for these."""
    major = facts.version // 10_000
    if major >= OLDEST:
        return None
    return f"PostgreSQL {major} is too old: let DATABASE_URL name a server of version {OLDEST} or later"


def primary(facts: Facts) -> str | None:
    """A standby takes no writes, and its snapshots show running transactions as finished."""
    if not facts.is_standby:
        return None
    return (
        "DATABASE_URL names a standby in recovery, where nothing can be written: let it name the primary (if this one"
        " is to become it: SELECT pg_promote())"
    )


def promoted(facts: Facts) -> None:
    """The same for who can wait. Raises StandbyError."""
    if sentence := primary(facts):
        raise StandbyError(sentence)


def encoding(facts: Facts) -> str | None:
    """In other encodings what callers write cannot be stored, or is not checked."""
    if facts.encoding == "UTF8":
        return None
    return (
        f"the database {facts.database} has the encoding {facts.encoding}, in which not every text can be stored: make"
        f" another one, CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0, and let DATABASE_URL name it"
    )


def strings(facts: Facts) -> str | None:
    """The driver quotes by what held when it connected."""
    if facts.conforming_strings == "on":
        return None
    return (
        "standard_conforming_strings is off and cannot be set with the connection:"
        f" ALTER ROLE {facts.role} IN DATABASE {facts.database} SET standard_conforming_strings = on"
    )


def triggers(facts: Facts) -> str | None:
    """Triggers keep the log as it is, and note what changes while the books are closed."""
    if facts.replication_role == "origin":
        return None
    return (
        f"session_replication_role is {facts.replication_role}, so that Herald's triggers do not fire:"
        f" ALTER ROLE {facts.role} RESET session_replication_role (ALTER DATABASE {facts.database} RESET … where it"
        " stands there)"
    )


def usable(facts: Facts) -> str | None:
    """Who may not use a schema does not see it, and would take its tables for missing."""
    if facts.may_use or not facts.has_schema:
        return None
    return (
        f"{facts.role} may not use the schema {facts.schema}: GRANT USAGE ON SCHEMA {facts.schema} TO {facts.role}"
        " (`herald doctor` names every GRANT that is missing)"
    )


def takes_tables(facts: Facts) -> str | None:
    """For migrations: a schema to make tables in, and nobody who has stopped all writing."""
    if facts.is_read_only:
        return (
            f"transactions are read-only by default: ALTER DATABASE {facts.database} RESET"
            f" default_transaction_read_only, or ALTER ROLE {facts.role} RESET default_transaction_read_only"
        )
    if not facts.has_schema and not facts.may_create:
        return (
            f"the schema {facts.schema} is missing, and {facts.role} may not make it:"
            f" CREATE SCHEMA {facts.schema} AUTHORIZATION {facts.role}"
        )
    if not facts.may_create:
        return (
            f"{facts.role} may not make tables in the schema {facts.schema}:"
            f" GRANT CREATE ON SCHEMA {facts.schema} TO {facts.role}"
        )
    return None


NOTHING: tuple[Check, ...] = ()
SERVER: tuple[Check, ...] = (pooler, version, primary, encoding, strings, triggers, usable)
FOR_WORK: tuple[Check, ...] = (pooler, version, promoted, encoding, strings, triggers, usable)
FOR_MIGRATIONS: tuple[Check, ...] = (*SERVER, takes_tables)
