"""The PostgreSQL server: reached, able to write, durable, with room for connections, its clock."""

import re
import time
from collections.abc import Callable, Iterator

from herald.outbox.operate.doctor.database import Database
from herald.outbox.operate.doctor.finding import Checks, Finding, Look, note, ok, problem, warning
from herald.outbox.postgres.connections import read_clock

VERSIONS = range(14, 19)  # that the tests know
READINGS = 5  # of the clock; the quickest counts
SKEW = 1.0  # seconds between two clocks that matter
FULL = 0.9  # of the connections
API_BESIDES = 3  # connections of a process of the API, without its pool
BESIDES = {"a relay": 4, "a pipeline": 1}  # connections
_RELOAD = "SELECT pg_reload_conf();"

_SERVER = """
SELECT current_database() AS name, current_user AS role, current_setting('server_version') AS version,
    current_setting('server_version_num')::integer / 10000 AS major
"""

_WRITING = """
SELECT pg_is_in_recovery() AS is_standby, current_setting('default_transaction_read_only') = 'on' AS is_read_only,
    quote_ident(current_database()) AS name
"""

_DURABILITY = """
SELECT current_setting('fsync') AS fsync, current_setting('full_page_writes') AS full_page_writes,
    current_setting('synchronous_standby_names') AS standby_names,
    (SELECT reset_val FROM pg_settings WHERE name = 'synchronous_commit') AS synchronous_commit,
    (SELECT count(*) FROM pg_stat_replication) AS standbys,
    (SELECT count(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')) AS synchronous
"""

# A superuser is not bound by the limits of its role and its database.
_CONNECTIONS = """
SELECT allowed, used, whose FROM (
    SELECT 'the server' AS whose, current_setting('max_connections')::integer
            - current_setting('superuser_reserved_connections')::integer
            - coalesce(current_setting('reserved_connections', true)::integer, 0) AS allowed,
        (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS used
    UNION ALL
    SELECT 'the role', rolconnlimit, (SELECT count(*) FROM pg_stat_activity WHERE usesysid = r.oid)
    FROM pg_roles AS r WHERE rolname = current_user AND NOT rolsuper AND rolconnlimit >= 0
    UNION ALL
    SELECT 'the database', datconnlimit, (SELECT count(*) FROM pg_stat_activity WHERE datid = d.oid)
    FROM pg_database AS d WHERE datname = current_database() AND datconnlimit >= 0
) AS limits
ORDER BY allowed - used
"""
_WHO = "SELECT usename, application_name, count(*) FROM pg_stat_activity GROUP BY 1, 2 ORDER BY 3 DESC;"


def reached(database: Database) -> Look:
    """How long an answer takes, from which version."""
    begin = time.perf_counter()
    server = database.row(_SERVER)
    took = (time.perf_counter() - begin) * 1000
    text = f"{server['name']} as {server['role']} on PostgreSQL {server['version']}, answers in {took:.1f} ms"
    if server["major"] not in VERSIONS:
        known = f"{VERSIONS[0]} to {VERSIONS[-1]}"
        yield warning(f"{text}; Herald is tested on {known}", f"Use PostgreSQL {known}.")
    return text


def writable(database: Database) -> Look:
    """A standby cannot lead, accept or record."""
    found = database.row(_WRITING)
    if found["is_standby"]:
        text = "a standby in recovery: nothing can be accepted, published or recorded"
        yield problem(text, "Let DATABASE_URL name the primary. If this one is to become it: SELECT pg_promote();")
    elif found["is_read_only"]:
        yield problem(
            "transactions are read-only by default: nothing can be accepted",
            "SET default_transaction_read_only = off;"
            f" ALTER DATABASE {found['name']} RESET default_transaction_read_only;",
        )
    return "a primary that takes writes"


def durable(database: Database) -> Iterator[Finding]:
    """An answer of 202 means that it is on disk, and on the standbys that were asked for."""
    found = database.row(_DURABILITY)
    unsafe = [name for name in ("fsync", "full_page_writes") if found[name] == "off"]
    for name in unsafe:
        text = f"{name} is off: a power cut loses what was accepted, or the whole database"
        yield problem(text, f"ALTER SYSTEM SET {name} = on; {_RELOAD}")
    if (said := found["synchronous_commit"]) != "on":
        yield note(f"synchronous_commit is {said} for this role; Herald sets it on for what it accepts")
    if found["standby_names"]:
        yield _standbys(found["standby_names"], found["standbys"], found["synchronous"], database)
    elif not unsafe:
        yield ok(f"fsync and full_page_writes are on; {found['standbys']} standby(s), none synchronous")


def _standbys(names: str, connected: int, synchronous: int, database: Database) -> Finding:
    listed = re.match(r"(?:FIRST |ANY )?\s*(\d+)\s*\(", names, re.IGNORECASE)
    needed = int(listed[1]) if listed else 1
    found = synchronous if database.sees_everybody else connected
    if found >= needed:
        return ok(f"commits wait for {needed} of {names}; {found} connected")
    return problem(
        f"commits wait for {needed} standby(s) of {names}, {found} connected: nothing is accepted until one comes",
        f"Start the standby; or go on without it: ALTER SYSTEM SET synchronous_standby_names = ''; {_RELOAD}",
    )


def room(database: Database) -> Iterator[Finding]:
    """Enough connections for one API, relay and pipeline, and some left; the limit that is nearest counts."""
    pool, processes = database.settings.pool_size, database.settings.api_processes
    at_once = processes + (processes > 1)  # of several, a successor listens before its process ends
    need = at_once * (pool + API_BESIDES) + sum(BESIDES.values())
    for row in database.ask(_CONNECTIONS):
        text = f"{row['used']} of {row['allowed']} connections of {row['whose']} are open"
        text += f"; one API, relay and pipeline use up to {need}"
        if need > row["allowed"]:
            yield problem(text, f"Allow {need} or more, or set HERALD_POOL_SIZE ({pool}) lower.")
        elif row["used"] >= FULL * row["allowed"]:
            yield warning(text, f"Allow more, or see who has them: {_WHO}")
        else:
            yield ok(text)


def clock(database: Database, here: Callable[[], float] = time.time) -> Look:
    """Dates are the database's, so a skew moves no lease; ids and the deadline of a call are this machine's."""
    skew, uncertain = min((_compare_clocks(database, here) for _ in range(READINGS)), key=lambda reading: reading[1])
    ahead = "ahead of" if skew > 0 else "behind"
    text = f"the database's clock is {abs(skew):.3f} s {ahead} this machine's (± {uncertain:.3f} s)"
    if abs(skew) - uncertain > SKEW:
        yield warning(
            f"{text}: ids fall into the wrong time, callers' dates seem early or late, receivers doubt what webhooks"
            " sign",
            "Compare both with a third clock and set the wrong one right: timedatectl set-ntp true",
        )
    return text


def _compare_clocks(database: Database, here: Callable[[], float]) -> tuple[float, float]:
    """How far the database is ahead, and half of the round trip, in seconds."""
    begin = here()
    there = read_clock(database.connection).timestamp()
    end = here()
    return there - (begin + end) / 2, (end - begin) / 2


CHECKS: Checks[Database] = {
    "connection": reached,
    "primary": writable,
    "durability": durable,
    "connections": room,
    "clock": clock,
}
