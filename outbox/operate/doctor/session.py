"""What stands between here and PostgreSQL: a session that stays the same, and notifications that arrive."""

import time
from contextlib import closing
from uuid import uuid4

from herald.outbox.operate.doctor.database import NAME, Database
from herald.outbox.operate.doctor.finding import Finding, Look, note, problem, warning
from herald.outbox.operate.opening import connect_to_look
from herald.outbox.postgres.connections import is_shared
from herald.outbox.postgres.fitness import UnfitError, encoding, read_facts, strings, triggers, usable
from herald.outbox.postgres.instance import stay_home
from herald.outbox.postgres.pooler import session_of
from herald.outbox.postgres.statements import execute
from herald.outbox.relay.session import PROBE_TIMEOUT, wait_for_news
from herald.outbox.relay.term import DEAF_POLL

FITNESS = (encoding, strings, triggers, usable)
DIRECT = "Point DATABASE_URL at PostgreSQL itself, or at a pool in session mode (PgBouncer: pool_mode = session)."


def pooled(database: Database) -> Look:
    """Which session of the server answers, whatever the connections' keys say."""
    first = database.connection
    if is_shared(first, database.settings):
        text = "a pooler in transaction mode is in between: the relay cannot lead, and settings of a session get lost"
        yield problem(text, DIRECT)
    elif first.info.backend_pid != session_of(first):
        yield note("a pooler in session mode is in between; the relay's session must not be cut by its timeouts")
    return "no pooler in between"


def fit(database: Database) -> Look:
    """What every process looks for when it connects, but for what has a check of its own."""
    facts = read_facts(database.connection, database.settings.database_schema)
    for check in FITNESS:
        if sentence := check(facts):
            yield _unfit(sentence)
    return "fit for Herald: its encoding, strings and triggers"


def heard(database: Database) -> Look:
    """LISTEN as the relay does, NOTIFY from another connection as the API does."""
    channel = f"herald_doctor_{uuid4().hex}"  # nobody else's: the relay need not wake up, other doctors do not count
    execute(database.connection, f"LISTEN {channel}")
    begin = time.perf_counter()
    with closing(connect_to_look(database.settings, NAME)) as second:
        execute(second, f"NOTIFY {channel}")
    arrives = wait_for_news(database.connection, PROBE_TIMEOUT)
    took = (time.perf_counter() - begin) * 1000
    execute(database.connection, f"UNLISTEN {channel}")
    if not arrives:
        instead = f"the relay looks {1 / DEAF_POLL:.0f} times a second instead"
        yield warning(f"no NOTIFY arrived within {PROBE_TIMEOUT:g} s: {instead}", DIRECT)
    return f"a NOTIFY arrives, {took:.0f} ms with its connection"


def at_home(database: Database) -> Look:
    """What every process compares when it connects: where the database is, and the settings it was first used with."""
    try:
        stay_home(database.connection, database.settings)
    except UnfitError as error:
        yield _unfit(str(error))
    return "the database is where this Herald was made"


def _unfit(sentence: str) -> Finding:
    found, _, cure = sentence.partition(": ")
    return problem(f"{found}; no process starts on it", cure)


CHECKS = {"pooler": pooled, "fitness": fit, "LISTEN": heard, "identity": at_home}
