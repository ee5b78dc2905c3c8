"""Outcomes: what became of attempts, recorded in one statement and keyed by attempt.

What comes after a newer attempt began, or after the end, is recorded as late and changes nothing.
"""

from collections.abc import Sequence
from typing import Literal
from uuid import UUID

import msgspec

from herald.outbox.message.events import Code
from herald.outbox.moves.door import DEAD_LETTERED, FAILED, GIVEN_BACK, LATE, SENT, UNKNOWN, moving
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.prepared import prepare
from herald.outbox.postgres.statements import fetch_column

Kind = Literal["sent", "failed", "unknown", "postponed", "dead"]
_encode = msgspec.json.Encoder().encode


class Outcome(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What became of an attempt.

    `retry_in` seconds from now it is due again: `failed` and `postponed` have it, `unknown` where it is
    repeated and not held. `postponed` was given back without a call, and does not count. `is_fault`: the
    destination is to blame; `destination` is None where nobody counts. The call took so many `seconds`,
    0 where none was made.
    """

    id: UUID
    attempt: int
    outcome: Kind
    reason: str | None = None
    code: Code | None = None
    retry_in: float | None = None
    destination: str | None = None
    is_fault: bool = False
    seconds: float = 0.0


# `sent` counts unless a newer attempt began or the message is final for other reasons; everything else
# only while the attempt is still open.
RECORD = prepare(
    "record",
    moving(
        """
outcome AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset(%(outcomes)s::jsonb)
        AS o(id uuid, attempt integer, outcome text, reason text, code text, retry_in double precision)
),
locked AS MATERIALIZED (
    SELECT id, topic, status, attempts FROM messages
    WHERE id = ANY (ARRAY(SELECT id FROM outcome))
    ORDER BY id
    FOR NO KEY UPDATE
),
judged AS MATERIALIZED (
    SELECT o.*, l.topic,
           l.attempts = o.attempt AND (l.status = 'sending'
               OR o.outcome = 'sent' AND l.status IN ('pending', 'failed', 'unknown')) AS counts
    FROM outcome AS o JOIN locked AS l ON l.id = o.id
),
decided AS MATERIALIZED (
    SELECT id, CASE WHEN NOT counts THEN 'message.late' WHEN outcome = 'dead' THEN 'message.dead_lettered'
               ELSE 'message.' || outcome END AS type,
           jsonb_strip_nulls(jsonb_build_object(
               'attempt', attempt,
               'reason', reason,
               'code', CASE WHEN counts THEN code END,
               'due_at', CASE WHEN counts THEN clock.at + make_interval(secs => retry_in) END,
               'outcome', CASE WHEN NOT counts THEN outcome END,
               'id', CASE WHEN counts AND outcome = 'dead' THEN id END,
               'topic', CASE WHEN counts AND outcome = 'dead' THEN topic END)) AS payload,
           CASE WHEN counts AND outcome = 'dead' THEN %(dead_letters)s END AS publish_to, 0 AS place
    FROM judged, clock
)""",
        SENT,
        FAILED,
        UNKNOWN,
        GIVEN_BACK,
        DEAD_LETTERED,
        LATE,
        answer="SELECT id::text FROM moved WHERE type = 'message.late'",
    ),
    outcomes="text",
    dead_letters="text",
)


def record_outcomes(connection: Connection, outcomes: Sequence[Outcome], *, dead_letters: str) -> set[UUID]:
    """Settle attempts; the death of a message is published on the topic `dead_letters` as well. Returns who was late.

    One outcome per message in a call: of two for the same message, PostgreSQL would see only one.
    """
    values = {"outcomes": _encode(outcomes).decode(), "dead_letters": dead_letters}
    return {UUID(late) for late in fetch_column(connection, RECORD, values)}
