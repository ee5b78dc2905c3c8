"""What should have happened by now, and what waits for a person."""

from typing import NamedTuple

from herald.outbox.operate.audit.findings import Checked, Finding, Repair, Suspects
from herald.outbox.operate.audit.looking import Scope, look_twice
from herald.outbox.operate.shown import duration
from herald.outbox.operate.status.database import UNCONSUMED
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch_column, fetch_named, fetch_one, fetch_value
from herald.outbox.registry import TOPICS
from herald.outbox.scheduler.due import NOT_FAILING, WAITS

_CLOCK = "(SELECT clock_timestamp())"  # a subquery, so that the index on the date can be used
_LATE = "make_interval(secs => %(late)s)"
_FOUND = """
SELECT m.id::text, m.version, count(*) OVER () AS total FROM {queue} AS w JOIN messages AS m ON m.id = w.id
WHERE m.id >= %(first_id)s::uuid"""
_UNFINISHED = _FOUND.format(queue="unfinished")
_SENDING = f"{_UNFINISHED} AND m.status = 'sending' AND m.due_at < {_CLOCK} - {_LATE} ORDER BY m.due_at LIMIT %(limit)s"
_DUE = f"""{_FOUND.format(queue="waiting")} AND w.line IS NULL AND w.due_at < {_CLOCK} - {_LATE}
AND {WAITS} AND {NOT_FAILING}
ORDER BY m.priority DESC, m.due_at LIMIT %(limit)s
"""
_TO_EXPIRE = f"""{_UNFINISHED} AND m.deliver_by < {_CLOCK} - {_LATE} AND m.status <> 'sending'
ORDER BY m.deliver_by LIMIT %(limit)s
"""
_PENDING = f"""{_UNFINISHED} AND m.status = 'pending' AND m.updated_at < {_CLOCK} - make_interval(secs => %(pending)s)
AND NOT EXISTS (SELECT FROM set_aside AS s WHERE s.stream_id = m.id AND s.version = m.version AND s.decision IS NULL)
ORDER BY m.updated_at LIMIT %(limit)s
"""
_BEHIND_CURSOR = """
FROM (SELECT coalesce(floor, 0) AS floor, coalesce(previous, '1:1:'::pg_snapshot) AS previous, target, last_position
      FROM (SELECT) AS always LEFT JOIN relay_cursor ON name = 'relay') AS c
JOIN outbox AS o ON o.topic IS NOT NULL AND o.position > c.floor AND o.transaction_id >= pg_snapshot_xmin(c.previous)
WHERE NOT pg_visible_in_snapshot(o.transaction_id, c.previous)
  AND NOT (c.target IS NOT NULL AND o.position <= c.last_position
           AND pg_visible_in_snapshot(o.transaction_id, c.target))
  AND o.recorded_at < (SELECT clock_timestamp()) - make_interval(secs => %(late)s)
"""
_UNPUBLISHED = f"""
SELECT o.stream_id::text AS id, o.version, count(*) OVER () AS total {_BEHIND_CURSOR}
ORDER BY o.position LIMIT %(limit)s
"""
_HELD = f"""
WITH held AS (SELECT DISTINCT o.tableoid::regclass::text AS name {_BEHIND_CURSOR})
SELECT p.name AS id, 0 AS version, count(*) OVER () AS total
FROM held JOIN partitions AS p ON p.name = held.name
WHERE p.parent = 'outbox' AND p.ends_at < {_CLOCK} - make_interval(secs => %(retention)s)
ORDER BY p.upper LIMIT %(limit)s
"""
_REQUESTS = """
SELECT count(*) AS messages, coalesce(sum(request), 0)::bigint AS requests, coalesce(max(request), 0) AS most
FROM messages WHERE id >= %(first_id)s::uuid
"""
_MOST = "SELECT id::text FROM messages WHERE id >= %(first_id)s::uuid ORDER BY request DESC, id LIMIT 1"
_ASIDE = """
SELECT stream_id::text || '.' || version FROM set_aside
WHERE decision IS NULL AND stream_id >= %(first_id)s::uuid ORDER BY since, position
"""


class Late(NamedTuple):
    """Something that is late once a second look still finds it; the texts may name the times of the scope."""

    check: str
    query: str
    looked_at: str
    says: str
    advice: str
    repair: Repair | None = None


LATE = (
    Late(  # a scheduler settles them within a fifth of a second
        "lease-ended",
        _SENDING,
        "leases over for {late:g} s",
        "{count} attempts whose lease ended and that nobody settled",
        "is a relay running? `herald audit --repair --yes` settles them once",
        "settle",
    ),
    # What is paused, behind a breaker or behind one of its key is asked for as the scheduler asks. A pause that ended
    # a moment ago leaves old dates behind: the second look sees that they are requested.
    Late(
        "overdue",
        _DUE,
        "dates passed by {late:g} s",
        "{count} messages are due and not requested",
        "is a relay running?",
    ),
    Late(  # what is being attempted is left to its outcome
        "not-expired",
        _TO_EXPIRE,
        "deliver_by passed by {late:g} s",
        "{count} messages are past their deliver_by and not expired",
        "is a relay running?",
    ),
    Late(  # a queue that is too long, or a pipeline that is not there
        "pending-long",
        _PENDING,
        "pending for {pending:g} s",
        "{count} messages wait for their claim for more than {pending:g} s",
        "is a pipeline running, and does its lag shrink? `herald status` shows it",
    ),
    Late(  # the cursor has not passed them; its snapshots and the rows are read in one statement
        "not-published",
        _UNPUBLISHED,
        "events older than {late:g} s",
        "{count} events are not published after {late:g} s",
        "is a relay running, and does Kafka answer? `herald status` shows whether the cursor moves",
    ),
)
HELD = Late(  # they stay as long as the cursor has not passed all their events
    "due-partitions",
    _HELD,
    "partitions that ended {kept} ago",
    "{count} partitions are due and hold events that are not published: they stay",
    "is a relay running, and does Kafka answer?",
)


def check_late(connection: Connection, scope: Scope, late: Late) -> Checked:
    """What should have happened by now."""
    times = {"late": scope.late, "pending": scope.pending, "kept": duration(scope.settings.retention or 0)}
    says = late.says.format(count="{count}", **times)
    found = look_twice(connection, late.query, scope).found("late", says, late.advice, late.repair)
    return Checked(late.check, late.looked_at.format(**times), found)


def check_partitions(connection: Connection, scope: Scope) -> Checked:
    """Partitions that the retention would let go."""
    if scope.settings.retention is None:
        return Checked(HELD.check, "everything is kept")
    return check_late(connection, scope, HELD)


def check_aside(connection: Connection, scope: Scope) -> Checked:
    """Rows of the log that were set aside. A note: Herald has found them itself, and nothing is lost of them."""
    found = Suspects(scope.limit, fetch_column(connection, _ASIDE, scope.values))
    says = "{count} rows of the log could not be published and wait for a decision"
    findings = found.found("note", says, "`herald set-aside list`, then publish or discard them")
    return Checked("set-aside", "rows that nobody has decided about", findings)


def check_consumers(connection: Connection, scope: Scope) -> Checked:
    """Messages that wait on topics without a consumer. The registry is that of the release that audits."""
    advice = "register the topic again, in relay and pipeline: then they are delivered"
    says = "topic {topic} has {count:,} messages waiting and no consumer"
    found = fetch_named(connection, UNCONSUMED, {"topics": list(TOPICS), "limit": scope.limit, "most": None})
    findings = [Finding("late", row["count"], row["ids"], says.format_map(row), advice) for row in found]
    return Checked("no-consumer", f"all but {', '.join(TOPICS)}", findings)


def count_requests(connection: Connection, scope: Scope) -> Checked:
    """A figure, and no judgement: 1.0 when nothing was ever tried or published again."""
    messages, requests, most = fetch_one(connection, _REQUESTS, scope.values)
    if not messages:
        return Checked("requests-per-message", "no messages")
    first = fetch_value(connection, _MOST, scope.values)
    says = f"{requests / messages:.3f} requests per message; {most:,} for the one with the most"
    return Checked("requests-per-message", f"{messages:,} messages", [Finding("note", requests, [first], says, "")])
