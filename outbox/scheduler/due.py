"""Messages whose date has come: accepted for later, to be retried, or postponed.

What cannot be tried anyway stays due and is not requested: paused, behind an open breaker, or behind
a failed message of its key on a strict topic. A destination that recovers gets what waited in a ramp.
"""

from collections import Counter
from typing import Any

from herald.outbox.moves.breakers import RAMP_SECONDS
from herald.outbox.moves.pauses import IS_PAUSED
from herald.outbox.moves.request_again import Choice, request_again
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import execute
from herald.outbox.settings import Settings

BATCH = 1_000  # messages requested in one statement
MOST = 10  # statements in a row; then the other duties have their turn
PROBE_PATIENCE = 10.0  # seconds until a probe that was requested and never claimed gives its place to another

_TYPES = {"strict_topics": "text[]", "ramp": "float8"}
_CAUSE = "CASE WHEN m.status = 'failed' THEN 'retry' WHEN m.request = 0 THEN 'scheduled' ELSE 'postponed' END"
# a subquery, or the volatile clock would keep PostgreSQL from using the index
WAITS = f"""
w.due_at <= (SELECT clock_timestamp())
AND NOT {IS_PAUSED.format(message="w")}
AND NOT (w.topic = ANY (%(strict_topics)s) AND w.request > 0 AND EXISTS (
    SELECT FROM waiting AS p
    WHERE p.topic = w.topic AND p.key = w.key AND p.request > 0 AND p.line IS NULL
      AND (p.accepted_at, p.id) < (w.accepted_at, w.id)))
"""
NOT_FAILING = """NOT EXISTS (
    SELECT FROM breakers AS b
    WHERE b.destination = w.destination AND (b.opened_at IS NOT NULL OR b.closed_at IS NOT NULL))
"""

# one index look-up per priority: PostgreSQL 14 to 17 cannot skip from one to the next
_DUE = f"""
SELECT m.id, m.version FROM (
    SELECT found.id FROM generate_series(9, 0, -1) AS level CROSS JOIN LATERAL (
        SELECT w.id FROM waiting AS w
        WHERE w.priority = level AND w.line IS NULL AND {WAITS} AND {NOT_FAILING}
        ORDER BY w.due_at
        LIMIT %(limit)s
    ) AS found LIMIT %(limit)s
) AS due JOIN messages AS m ON m.id = due.id AND has_date(m.status)
"""

# A recovering destination: 2^s - 1 times `ramp` messages in all after s seconds, and one at once.
_RELEASED = f"""
SELECT m.id, m.version FROM breakers AS b CROSS JOIN LATERAL (
    SELECT w.id FROM waiting AS w
    WHERE w.destination = b.destination AND {WAITS}
    ORDER BY w.priority DESC, w.due_at
    LIMIT least(%(limit)s, 1 - b.released + floor(%(ramp)s
        * (2.0 ^ extract(epoch FROM clock_timestamp() - b.closed_at) - 1)))::bigint
) AS due JOIN messages AS m ON m.id = due.id AND has_date(m.status)
WHERE b.closed_at > clock_timestamp() - make_interval(secs => {RAMP_SECONDS})
"""

_PROBES = f"""
SELECT m.id, m.version FROM breakers AS b CROSS JOIN LATERAL (
    SELECT w.id FROM waiting AS w
    WHERE w.destination = b.destination AND {WAITS}
    ORDER BY w.priority DESC, w.due_at
    LIMIT 1
) AS due JOIN messages AS m ON m.id = due.id AND has_date(m.status)
WHERE b.probe_at <= clock_timestamp() AND (b.probe_until IS NULL OR b.probe_until <= clock_timestamp())
"""

_RESERVE = """
UPDATE breakers SET probe_id = %s, probe_until = clock_timestamp() + make_interval(secs => %s)
WHERE destination = %s AND (probe_until IS NULL OR probe_until <= clock_timestamp())
"""


def what_is_due(values: dict[str, Any]) -> Choice:
    """Whatever may be tried now, the most urgent first."""
    return Choice(_DUE, values, _CAUSE, types=_TYPES)


def request_due(connection: Connection, settings: Settings) -> int:
    """Request what is due and may be tried; returns how many."""
    values = {"strict_topics": list(settings.strict_topics), "ramp": settings.breaker_ramp}
    due = what_is_due(values)
    total = 0
    for _ in range(MOST):
        count = len(request_again(connection, due, limit=BATCH))
        total += count
        if count < BATCH:
            break
    return total + _release(connection, values) + _probe(connection, values)


def _release(connection: Connection, values: dict[str, Any]) -> int:
    """What recovering destinations may have by now; a ramp that is over is forgotten."""
    released = request_again(connection, Choice(_RELEASED, values, _CAUSE, types=_TYPES), limit=BATCH)
    for destination, count in Counter(destination for _, destination in released).items():
        execute(connection, "UPDATE breakers SET released = released + %s WHERE destination = %s", count, destination)
    execute(
        connection,
        "DELETE FROM breakers WHERE closed_at <= clock_timestamp() - make_interval(secs => %s)",
        RAMP_SECONDS,
    )
    return len(released)


def _probe(connection: Connection, values: dict[str, Any]) -> int:
    """One message for each open breaker whose date has come; the claim lets that one through."""
    probes = request_again(connection, Choice(_PROBES, values, _CAUSE, types=_TYPES), limit=BATCH)
    for message, destination in probes:
        execute(connection, _RESERVE, message, PROBE_PATIENCE, destination)
    return len(probes)
