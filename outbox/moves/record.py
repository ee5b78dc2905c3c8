"""Outcomes: what became of attempts, recorded in one statement and keyed by attempt.

What comes after a newer attempt began, or after the end, is recorded as late and changes nothing.
"""

from collections.abc import Sequence
from typing import Literal
from uuid import UUID

import msgspec

from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.prepared import prepare
from herald.outbox.postgres.statements import execute

Kind = Literal["sent", "failed", "unknown", "postponed", "dead"]
_encode = msgspec.json.Encoder().encode


class Outcome(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What became of an attempt.

    `retry_in` seconds from now it is due again: `failed` and `postponed` have it, `unknown` where it is
    repeated and not held. `postponed` was given back without a call, and does not count. `is_fault`: the
    destination is to blame; `destination` is None where nobody counts.
    """

    id: UUID
    attempt: int
    outcome: Kind
    reason: str | None = None
    retry_in: float | None = None
    destination: str | None = None
    is_fault: bool = False


# `sent` counts unless a newer attempt began or the message is final for other reasons; everything else
# only while the attempt is still open. Rows are found by their ids: a join alone would let the planner read them all.
_RECORD = prepare(
    "record",
    """
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS at),
outcome AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset(%(outcomes)s::jsonb)
        AS o(id uuid, attempt integer, outcome text, reason text, retry_in double precision)
),
locked AS MATERIALIZED (
    SELECT id, topic, key, status, attempts FROM messages
    WHERE id = ANY (ARRAY(SELECT id FROM outcome))
    ORDER BY id
    FOR NO KEY UPDATE
),
judged AS MATERIALIZED (
    SELECT o.*, l.topic, l.key,
           l.attempts = o.attempt AND (l.status = 'sending'
               OR o.outcome = 'sent' AND l.status IN ('pending', 'failed', 'unknown')) AS counts
    FROM outcome AS o JOIN locked AS l ON l.id = o.id
),
moved AS (
    UPDATE messages AS m
    SET version = m.version + 1,
        status = CASE WHEN NOT j.counts THEN m.status
                      WHEN j.outcome = 'postponed' THEN 'scheduled'
                      WHEN j.outcome = 'unknown' AND j.retry_in IS NOT NULL THEN 'failed'
                      ELSE j.outcome END,
        reason = CASE WHEN j.counts THEN j.reason ELSE m.reason END,
        due_at = CASE WHEN j.counts THEN clock.at + make_interval(secs => j.retry_in) ELSE m.due_at END,
        sent_at = CASE WHEN j.counts AND j.outcome = 'sent' THEN clock.at ELSE m.sent_at END,
        uncounted = m.uncounted + (j.counts AND j.outcome = 'postponed')::integer,
        unknowns = m.unknowns + (j.counts AND j.outcome = 'unknown')::integer,
        updated_at = clock.at
    FROM judged AS j, clock
    WHERE m.id = ANY (ARRAY(SELECT id FROM judged)) AND m.id = j.id
    RETURNING m.id, m.version, m.topic, m.key, m.due_at, m.updated_at, j.attempt, j.outcome, j.reason, j.counts
)
INSERT INTO outbox (stream_id, version, type, topic, key, payload, recorded_at)
SELECT id, version,
       CASE WHEN NOT counts THEN 'message.late' WHEN outcome = 'dead' THEN 'message.dead_lettered'
            ELSE 'message.' || outcome END,
       CASE WHEN counts AND outcome = 'dead' THEN %(dead_letters)s END,
       CASE WHEN counts AND outcome = 'dead' THEN key END,
       jsonb_strip_nulls(jsonb_build_object(
           'attempt', attempt,
           'reason', reason,
           'due_at', CASE WHEN counts THEN due_at END,
           'outcome', CASE WHEN NOT counts THEN outcome END,
           'id', CASE WHEN counts AND outcome = 'dead' THEN id END,
           'topic', CASE WHEN counts AND outcome = 'dead' THEN topic END)),
       updated_at
FROM moved
""",
    outcomes="text",
    dead_letters="text",
)


def record_outcomes(connection: Connection, outcomes: Sequence[Outcome], *, dead_letters: str) -> None:
    """Settle attempts; the death of a message is published on the topic `dead_letters` as well.

    One outcome per message in a call: of two for the same message, PostgreSQL would see only one.
    """
    execute(connection, _RECORD, {"outcomes": _encode(outcomes).decode(), "dead_letters": dead_letters})
