"""What stands between here and PostgreSQL: a session that stays the same, and notifications that arrive."""

import select
import time
from collections.abc import Iterator
from uuid import uuid4

from herald.outbox.operate.doctor.database import Database
from herald.outbox.operate.doctor.finding import Check, Finding, note, ok, problem, warning
from herald.outbox.postgres.connections import is_shared
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.fitness import UnfitError, encoding, read_facts, strings, triggers, usable
from herald.outbox.postgres.instance import stay_home
from herald.outbox.postgres.pooler import session_of
from herald.outbox.postgres.statements import execute
from herald.outbox.relay.session import PROBE_TIMEOUT
from herald.outbox.relay.term import DEAF_POLL

FITNESS = (encoding, strings, triggers, usable)
CHANNEL = "herald_doctor"  # not the relay's: it need not wake up for this
DIRECT = "Point DATABASE_URL at PostgreSQL itself, or at a pool in session mode (PgBouncer: pool_mode = session)."


def pooled(database: Database) -> Iterator[Finding]:
    """Which session of the server answers, whatever the connections' keys say."""
    first = database.connection
    if is_shared(first, database.settings):
        yield problem(
            "a pooler in transaction mode is in between: the relay cannot lead, and settings of a session get lost",
            DIRECT,
        )
    elif first.info.backend_pid != session_of(first):
        yield note("a pooler in session mode is in between; the relay's session must not be cut by its timeouts")
    else:
        yield ok("no pooler in between")


def fit(database: Database) -> Iterator[Finding]:
    """What every process looks for when it connects, but for what has a check of its own."""
    facts = read_facts(database.connection, database.settings.database_schema)
    sentences = [sentence for check in FITNESS if (sentence := check(facts))]
    for sentence in sentences:
        found, _, cure = sentence.partition(": ")
        yield problem(f"{found}; no process starts on it", cure)
    if not sentences:
        yield ok("fit for Herald: its encoding, strings and triggers")


def heard(database: Database) -> Iterator[Finding]:
    """LISTEN as the relay does, NOTIFY from another connection as the API does."""
    token, listener = uuid4().hex, database.connection
    execute(listener, f"LISTEN {CHANNEL}")
    begin = time.perf_counter()
    with database.another() as second:
        execute(second, f"NOTIFY {CHANNEL}, '{token}'")
    arrives = _hears(listener, token)
    took = (time.perf_counter() - begin) * 1000
    execute(listener, f"UNLISTEN {CHANNEL}")
    if arrives:
        yield ok(f"a NOTIFY arrives, {took:.0f} ms with its connection")
        return
    yield warning(
        f"no NOTIFY arrived within {PROBE_TIMEOUT:g} s: the relay looks {1 / DEAF_POLL:.0f} times a second instead",
        DIRECT,
    )


def _hears(connection: Connection, token: str) -> bool:
    """Whether it comes in time; other doctors' do not count."""
    deadline = time.monotonic() + PROBE_TIMEOUT
    while (left := deadline - time.monotonic()) > 0:
        select.select([connection], [], [], left)
        connection.poll()
        if any(heard.payload == token for heard in connection.notifies):
            return True
        connection.notifies.clear()
    return False


def at_home(database: Database) -> Iterator[Finding]:
    """What every process compares when it connects: where the database is, and the settings it was first used with."""
    try:
        stay_home(database.connection, database.settings)
    except UnfitError as error:
        found, _, cure = str(error).partition(": ")
        yield problem(f"{found}; no process starts on it", cure)
        return
    yield ok("the database is where this Herald was made")


CHECKS = (
    Check("pooler", pooled),
    Check("fitness", fit),
    Check("LISTEN", heard),
    Check("identity", at_home),
)
