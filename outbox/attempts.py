"""Attempts: claimed, and settled by their outcome. Each function is one statement in the caller's transaction.

A claim moves a message only where its state and its request number are those of the record, so a
record that comes twice, late or superseded starts nothing. An outcome is keyed by its attempt.
Rows are locked in the order of their ids: two workers with overlapping batches cannot deadlock.
"""

from collections.abc import Sequence
from typing import Literal
from uuid import UUID

import msgspec
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class with a lower-case name

_encode = msgspec.json.Encoder().encode


class Record(msgspec.Struct, frozen=True):
    """A request as it came from Kafka."""

    id: UUID
    request: int


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an attempt; `retry_in` seconds from now for `failed`."""

    id: UUID
    attempt: int
    outcome: Literal["sent", "failed", "dead"]
    reason: str | None = None
    retry_in: float | None = None


_CLAIM = """
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS at),
record AS MATERIALIZED (SELECT * FROM jsonb_to_recordset(%s::jsonb) AS r(id uuid, request integer)),
claimable AS MATERIALIZED (
    SELECT m.id
    FROM record AS r JOIN messages AS m ON m.id = r.id
    WHERE m.status = 'pending' AND m.request = r.request
    ORDER BY m.id
    FOR NO KEY UPDATE OF m
),
moved AS (
    UPDATE messages AS m
    SET status = 'sending', version = m.version + 1, attempts = m.attempts + 1,
        due_at = clock.at + make_interval(secs => %s), updated_at = clock.at
    FROM claimable AS c, clock
    WHERE m.id = c.id
    RETURNING m.id, m.version, m.attempts, m.due_at, m.updated_at
),
logged AS (
    INSERT INTO outbox (stream_id, version, type, payload, recorded_at)
    SELECT id, version, 'message.started',
           jsonb_build_object('attempt', attempts, 'lease_until', due_at), updated_at
    FROM moved
)
SELECT id::text, attempts FROM moved
"""


def claim(connection: Connection, records: Sequence[Record], *, lease: float) -> dict[UUID, int]:
    """Start an attempt for each record that still fits; returns the winners' attempt numbers by id.

    The lease is in seconds, by the database's clock; until it ends nobody else settles the attempt.
    """
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, (_encode(records).decode(), lease))
        return {UUID(stream): attempt for stream, attempt in cursor}


# `sent` counts unless a newer attempt began or the message is final; a failure only while the attempt is still open.
# Everything else is recorded as late, and moves nothing but the version.
_RECORD = """
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS at),
outcome AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset(%s::jsonb)
        AS o(id uuid, attempt integer, outcome text, reason text, retry_in double precision)
),
judged AS MATERIALIZED (
    SELECT o.*, m.topic, m.key,
           m.attempts = o.attempt AND (m.status = 'sending'
               OR o.outcome = 'sent' AND m.status IN ('pending', 'failed')) AS counts
    FROM outcome AS o JOIN messages AS m ON m.id = o.id
    ORDER BY m.id
    FOR NO KEY UPDATE OF m
),
moved AS (
    UPDATE messages AS m
    SET version = m.version + 1,
        status = CASE WHEN j.counts THEN j.outcome ELSE m.status END,
        reason = CASE WHEN j.counts THEN j.reason ELSE m.reason END,
        due_at = CASE WHEN j.counts THEN clock.at + make_interval(secs => j.retry_in) ELSE m.due_at END,
        sent_at = CASE WHEN j.counts AND j.outcome = 'sent' THEN clock.at ELSE m.sent_at END,
        updated_at = clock.at
    FROM judged AS j, clock
    WHERE m.id = j.id
    RETURNING m.id, m.version, m.topic, m.key, m.due_at, m.updated_at, j.attempt, j.outcome, j.reason, j.counts
)
INSERT INTO outbox (stream_id, version, type, topic, key, payload, recorded_at)
SELECT id, version,
       CASE WHEN NOT counts THEN 'message.late' WHEN outcome = 'dead' THEN 'message.dead_lettered'
            ELSE 'message.' || outcome END,
       CASE WHEN counts AND outcome = 'dead' THEN %s END,
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
"""


def record_outcomes(connection: Connection, outcomes: Sequence[Outcome], *, dead_letters: str) -> None:
    """Settle attempts; the death of a message is published on the topic `dead_letters` as well.

    One outcome per message in a call: of two for the same message, PostgreSQL would see only one.
    """
    with connection.cursor() as cursor:
        cursor.execute(_RECORD, (_encode(outcomes).decode(), dead_letters))
