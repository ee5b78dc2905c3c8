"""The relay: who leads, where the cursor stands, and to which clusters it belongs."""

from collections.abc import Iterator

from herald.outbox.operate.doctor.database import Database
from herald.outbox.operate.doctor.finding import Checks, Finding, Look, note, ok, problem, warning
from herald.outbox.operate.shown import count, duration
from herald.outbox.operate.status.database import ASIDE, BACKLOG, UNCONSUMED, UNTRIED, WITHHELD
from herald.outbox.operate.status.report import backlog
from herald.outbox.postgres.connections import name_in
from herald.outbox.postgres.locks import LEADER, SCHEMA
from herald.outbox.registry import TOPICS
from herald.outbox.relay.session import NAME

MOST_ERROR = 200  # characters
STALE = 30.0  # seconds without a save, while there is something to publish

# `end_it` ends this session, and no other that has got its number meanwhile.
_HOLDERS = f"""
SELECT l.pid, a.application_name, a.client_addr::text AS address,
    format('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = %%s AND application_name = %%L'
           ' AND usename = %%L;', l.pid, a.application_name, a.usename) AS end_it,
    extract(epoch FROM clock_timestamp() - a.backend_start)::float8 AS seconds
FROM pg_locks AS l JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND (l.classid, l.objid, l.objsubid) = ({SCHEMA}, %(key)s, 2)
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""

_SESSIONS = """
SELECT count(*) AS sessions FROM pg_stat_activity
WHERE datname = current_database() AND application_name = %(name)s
"""

_CLUSTERS = """
SELECT c.system_identifier AS stored, (SELECT system_identifier::text FROM pg_control_system()) AS found
FROM relay_cursor AS c WHERE c.name = 'relay'
"""


def leads(database: Database) -> Iterator[Finding]:
    """Whoever holds the leader's lock should be a relay."""
    holders = database.ask(_HOLDERS, key=LEADER)
    relay = name_in(database.settings.database_schema, NAME)
    sessions = database.row(_SESSIONS, name=relay)["sessions"]
    if not holders:
        waiting = f", though {count(sessions, 'session')} of relays are open" if sessions else ""
        yield warning(f"no relay leads{waiting}: nothing is published, no retry comes due", "herald relay")
    for row in holders:
        since = "" if row["seconds"] is None else f", connected since {duration(row['seconds'])}"
        text = f"{row['application_name']!r}, pid {row['pid']} from {row['address'] or 'this host'}{since}"
        if row["application_name"] == relay:
            yield ok(f"led by {text}; {max(sessions - 1, 0)} standing by")
        else:
            yield problem(
                f"the leader's lock is held by {text}, which is no relay: none can lead",
                f"Look at what it does, then end it: {row['end_it']}",
            )


def belongs(database: Database) -> Iterator[Finding]:
    """The cursor belongs to this PostgreSQL cluster: transaction ids mean nothing in another."""
    rows = database.ask(_CLUSTERS)
    if not rows:
        yield note("no relay has led yet")
    for row in rows:
        if row["stored"] == row["found"]:
            yield ok(f"the cursor belongs to this PostgreSQL cluster, {row['found']}")
            continue
        yield problem(
            f"the cursor belongs to the PostgreSQL cluster {row['stored']}, this one is {row['found']}: no relay will"
            " lead",
            "If this one continues the other (restored), stop every relay and run once: herald relay --rebase --moved",
        )


def advances(database: Database) -> Iterator[Finding]:
    """Something to publish, and a cursor that does not move."""
    for row in database.ask(BACKLOG):
        if row["not_published"] and row["saved_seconds_ago"] > STALE:
            yield problem(
                f"{backlog(row)}: the relay publishes nothing",
                "Look at the relay's log for term_ended, kafka_trouble or relay_cannot_lead, and at Kafka below.",
            )
        else:
            yield ok(backlog(row))


def passed_by(database: Database) -> Look:
    """Rows that the relay could not publish: they wait for a person."""
    for row in database.ask(ASIDE):
        several = "1 row of the log is" if row["count"] == 1 else f"{row['count']:,} rows of the log are"
        yield problem(
            f"{several} set aside as {row['reason']}, the newest {row['newest']}: {row['error'][:MOST_ERROR]}",
            f"Look at it: herald set-aside show {row['newest']}; then herald set-aside publish, or discard",
        )
    return "no row of the log is set aside"


def consumed(database: Database) -> Look:
    """Messages on topics that are not registered (any more, or not yet): they wait for a consumer."""
    for row in database.ask(UNCONSUMED, topics=list(TOPICS), limit=1, most=None):
        yield warning(
            f"topic {row['topic']} has {count(row['count'], 'message')} waiting and no consumer, the oldest for"
            f" {duration(row['oldest_seconds'])}",
            "Install what has it beside the pipelines, and they are delivered; or cancel them, one by one.",
        )
    return "nothing waits on a topic without a consumer"


def tried(database: Database) -> Look:
    """Messages that pipelines give back again and again: what those lack is in the reason."""
    for row in database.ask(UNTRIED):
        yield warning(
            f"{count(row['count'], 'message')} given back untried more than once, the oldest for"
            f" {duration(row['oldest_seconds'])}: {row['reason']}",
            "Give every pipeline what it lacks, and start it again; a channel that none has must be registered in all."
            f" What nobody will ever deliver can be cancelled. One of them: herald history {row['oldest']}",
        )
    return "no message is given back again and again"


def withholds(database: Database) -> Look:
    """What Kafka does not take, though it takes the rest."""
    for row in database.ask(WITHHELD):
        part = row["topic"] if row["partition"] < 0 else f"{row['topic']}, partition {row['partition']}"
        since = duration(row["withheld_seconds"])
        yield problem(
            f"{part} is withheld ({row['reason']}) since {since}: {row['waiting']:,} records wait",
            "Start the broker that has it, make the topic (a relay that knows it does), or grant Herald the right to"
            " write there; the rest is published meanwhile.",
        )
    return "nothing is withheld"


CHECKS: Checks[Database] = {
    "leader": leads,
    "cursor's PostgreSQL": belongs,
    "not published": advances,
    "set aside": passed_by,
    "no consumer": consumed,
    "withheld": withholds,
    "untried": tried,
}
