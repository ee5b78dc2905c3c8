"""What should have happened by now: leases that ended, dates that passed, what is not published, what waits long."""

from herald.outbox.operate.audit.findings import Checked, Finding
from herald.outbox.operate.audit.looking import look_twice
from herald.outbox.operate.audit.scope import Scope
from herald.outbox.operate.status.report import duration
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch_named
from herald.outbox.scheduler.due import WAITS

LEASES = "lease-ended"
OVERDUE = "overdue"
EXPIRED = "not-expired"
PENDING = "pending-long"
UNPUBLISHED = "not-published"
HELD = "due-partitions"
REQUESTS = "requests-per-message"

_CLOCK = "(SELECT clock_timestamp())"  # a subquery, so that the index on the date can be used
_LATE = "make_interval(secs => %(late)s)"
_FOUND = "SELECT m.id::text, m.version, count(*) OVER () AS total FROM messages AS m WHERE m.id >= %(first_id)s::uuid"
_SENDING = f"{_FOUND} AND m.status = 'sending' AND m.due_at < {_CLOCK} - {_LATE} ORDER BY m.due_at LIMIT %(limit)s"
_DUE = f"""{_FOUND} AND m.due_at < {_CLOCK} - {_LATE} AND {WAITS}
AND NOT EXISTS (SELECT FROM breakers AS b WHERE b.destination = m.destination
                AND (b.opened_at IS NOT NULL OR b.closed_at IS NOT NULL))
ORDER BY m.priority DESC, m.due_at LIMIT %(limit)s
"""
_TO_EXPIRE = f"""{_FOUND} AND m.deliver_by < {_CLOCK} - {_LATE} AND m.status IN ('scheduled', 'pending', 'failed')
ORDER BY m.deliver_by LIMIT %(limit)s
"""
_PENDING = f"""{_FOUND} AND m.status = 'pending' AND m.updated_at < {_CLOCK} - make_interval(secs => %(pending)s)
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


def check_leases(connection: Connection, scope: Scope) -> Checked:
    """Attempts past their lease: a scheduler settles them within a fifth of a second."""
    found = look_twice(connection, _SENDING, scope.values)
    says = "{count} attempts whose lease ended and that nobody settled"
    advice = "is a relay running? `herald audit --repair --yes` settles them once"
    findings = found.finding(LEASES, "late", says, advice, repair="settle")
    return Checked(check=LEASES, looked_at=f"leases over for {scope.late:g} s", findings=findings)


def check_due(connection: Connection, scope: Scope) -> Checked:
    """Dates that passed. What is paused, behind a breaker or behind one of its key is asked for as the scheduler asks.

    A pause that ended a moment ago leaves old dates behind: the second look sees that they are requested.
    """
    found = look_twice(connection, _DUE, {**scope.values, "strict_topics": list(scope.settings.strict_topics)})
    findings = found.finding(OVERDUE, "late", "{count} messages are due and not requested", "is a relay running?")
    return Checked(check=OVERDUE, looked_at=f"dates passed by {scope.late:g} s", findings=findings)


def check_expiry(connection: Connection, scope: Scope) -> Checked:
    """Messages past their `deliver_by`; what is being attempted is left to its outcome."""
    found = look_twice(connection, _TO_EXPIRE, scope.values)
    says = "{count} messages are past their deliver_by and not expired"
    findings = found.finding(EXPIRED, "late", says, "is a relay running?")
    return Checked(check=EXPIRED, looked_at=f"deliver_by passed by {scope.late:g} s", findings=findings)


def check_pending(connection: Connection, scope: Scope) -> Checked:
    """Requested and not claimed for long: a queue that is too long, or a pipeline that is not there."""
    found = look_twice(connection, _PENDING, scope.values)
    says = f"{{count}} messages wait for their claim for more than {scope.pending:g} s"
    advice = "is a pipeline running, and does its lag shrink? `herald status` shows it"
    findings = found.finding(PENDING, "late", says, advice)
    return Checked(check=PENDING, looked_at=f"pending for {scope.pending:g} s", findings=findings)


def check_published(connection: Connection, scope: Scope) -> Checked:
    """Events that the cursor has not passed. Its snapshots and the rows are read in one statement."""
    found = look_twice(connection, _UNPUBLISHED, scope.values)
    says = f"{{count}} events are not published after {scope.late:g} s"
    advice = "is a relay running, and does Kafka answer? `herald status` shows whether the cursor moves"
    findings = found.finding(UNPUBLISHED, "late", says, advice)
    return Checked(check=UNPUBLISHED, looked_at=f"events older than {scope.late:g} s", findings=findings)


def check_partitions(connection: Connection, scope: Scope) -> Checked:
    """Partitions that the retention would let go: they stay as long as the cursor has not passed all their events."""
    retention = scope.settings.retention
    if retention is None:
        return Checked(check=HELD, looked_at="everything is kept")
    found = look_twice(connection, _HELD, {**scope.values, "retention": retention})
    says = "{count} partitions are due and hold events that are not published: they stay"
    findings = found.finding(HELD, "late", says, "is a relay running, and does Kafka answer?")
    return Checked(check=HELD, looked_at=f"partitions that ended {duration(retention)} ago", findings=findings)


def count_requests(connection: Connection, scope: Scope) -> Checked:
    """A figure, and no judgement: 1.0 when nothing was ever tried or published again."""
    (row,) = fetch_named(connection, _REQUESTS, scope.values)
    messages, requests, most = row["messages"], row["requests"], row["most"]
    if not messages:
        return Checked(check=REQUESTS, looked_at="no messages")
    (first,) = fetch_named(connection, _MOST, scope.values)
    says = f"{requests / messages:.3f} requests per message; {most:,} for the one with the most"
    note = Finding(check=REQUESTS, severity="note", count=requests, ids=[first["id"]], says=says, advice="")
    return Checked(check=REQUESTS, looked_at=f"{messages:,} messages", findings=[note])
