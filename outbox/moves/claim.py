"""The claim: one statement that starts attempts, or postpones what cannot be tried now.

A claim moves a message only where its state and its request number are those of the record, so a
record that comes twice, late or superseded starts nothing. What fits but is paused, has a failing or
busy destination, or has to wait for one before it of its key gets a date instead of an attempt:
either way the record has done its work, and its offset may be committed. What waits for one before
it takes that one's date: they are requested together and claimed together. With a later date of its
own it would hold up what comes next, that what comes after it, and so on for as long as any come.

Rows are locked in the order of their ids, and nobody is waited for: a message that another transaction holds, a
caller's that cancels it for instance, is left. If it stays pending, the scheduler finds its request behind the consumer
and asks for it again.
"""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

import msgspec

from herald.outbox.moves.door import POSTPONED, STARTED, moving
from herald.outbox.moves.pauses import IS_PAUSED
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.prepared import Prepared, prepare
from herald.outbox.postgres.statements import fetch

BEHIND_WAIT = 0.1  # seconds until one is looked at again that waits for another one without a date, at first
MOST_BEHIND_WAIT = 60.0  # seconds; up to then it is a tenth of the time for which the other one has stood as it stands
ELSEWHERE_WAIT = 1.0  # seconds until one is looked at again whose key another worker has under way
REASONS = {
    "paused": "paused",
    "busy": "its destination is busy",
    "breaker_open": "its destination fails",
    "behind": "waits for the one before it",
    "queued": "waits for its turn behind many of its kind",
}
_REASONS = " ".join(f"WHEN '{code}' THEN '{reason}'" for code, reason in REASONS.items())
_encode = msgspec.json.Encoder().encode


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """A request as it came from Kafka, and what its worker knows.

    `destination` is `channel` or `channel:host`, None where a handler of its own delivers. `wait` is
    the seconds after which a busy destination may have room. Of a `is_strict` topic one key waits for
    its failed predecessor; `is_here`: this worker has its lane, and keeps the order itself.
    """

    id: UUID
    request: int
    destination: str | None = None
    wait: float | None = None
    is_strict: bool = False
    is_here: bool = False


class Claim(NamedTuple):
    """An attempt that was won: its number, how many of them do not count, whether it probes its destination.

    `unknowns`: how many of the outcomes before it are not known.
    """

    attempt: int
    uncounted: int
    is_probe: bool
    unknowns: int = 0


# Each look writes events and a record: after what does not go on for long is looked less and less. On a strict topic
# nothing is requested anyway while one before it waits.
_SOON = f"""clock.at + make_interval(secs => least({MOST_BEHIND_WAIT}, greatest({BEHIND_WAIT},
                extract(epoch FROM clock.at - p.updated_at) / 10)))"""
# One that was never claimed has no destination yet, and may go to the same. What is behind one in line stands in line.
# The date of a less urgent one may be over for long, behind others that are more urgent.
# Rows are found by their ids and one at a time (ARRAY, LIMIT): a join would let the planner read all that is pending.
_CLAIM = f"""
record AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset(%(records)s::jsonb) AS r(id uuid, request integer, destination text,
        wait double precision, is_strict boolean, is_here boolean)
),
locked AS MATERIALIZED (
    SELECT id, topic, key, request, attempts, accepted_at, deliver_by, priority FROM messages
    WHERE id = ANY (ARRAY(SELECT id FROM record)) AND status = 'pending'
    ORDER BY id
    FOR NO KEY UPDATE SKIP LOCKED
),
fitting AS MATERIALIZED (
    SELECT l.id, l.topic, l.key, l.attempts, l.accepted_at, l.priority, r.destination, r.wait,
           coalesce(r.is_strict, false) AS is_strict, coalesce(r.is_here, false) AS is_here
    FROM locked AS l JOIN record AS r ON r.id = l.id AND r.request = l.request CROSS JOIN clock
    WHERE l.deliver_by IS NULL OR l.deliver_by > clock.at
),
failing AS MATERIALIZED (
    SELECT destination, probe_at, probe_until, probe_id FROM breakers
    WHERE opened_at IS NOT NULL AND destination IN (SELECT destination FROM fitting)
    ORDER BY destination
    FOR NO KEY UPDATE
),
hindered AS MATERIALIZED (
    SELECT f.*, behind.until, CASE
        WHEN {IS_PAUSED.format(message="f")} THEN 'paused'
        WHEN behind.in_line = 'queued' THEN 'queued'
        WHEN f.wait IS NOT NULL OR behind.in_line = 'busy' THEN 'busy'
        WHEN behind.found {{or_elsewhere}} THEN 'behind'
    END AS hindrance
    FROM fitting AS f CROSS JOIN clock
    LEFT JOIN LATERAL (
        SELECT true AS found, CASE WHEN w.line IS NOT NULL THEN p.reason_code END AS in_line, CASE
            WHEN w.line IS NOT NULL AND p.reason_code = 'queued' THEN f.accepted_at
            WHEN w.line IS NOT NULL
            THEN greatest(p.due_at + interval '1 microsecond', clock.at + make_interval(secs => {ELSEWHERE_WAIT}))
            WHEN has_date(p.status) AND p.status <> 'failed' AND p.priority >= f.priority
            THEN greatest(p.due_at + interval '1 microsecond', clock.at)
            WHEN has_date(p.status) AND p.status <> 'failed'
            THEN greatest(p.due_at + interval '1 microsecond', {_SOON})
            WHEN f.is_strict THEN clock.at + make_interval(secs => {BEHIND_WAIT})
            ELSE {_SOON} END AS until
        FROM waiting AS w CROSS JOIN LATERAL (SELECT * FROM messages WHERE id = w.id OFFSET 0) AS p
        WHERE w.topic = f.topic AND w.key = f.key
          AND w.request > 0 AND (w.accepted_at, w.id) < (f.accepted_at, f.id)
          AND (f.is_strict AND NOT f.is_here
               OR (p.destination IS NULL OR p.destination = f.destination) AND p.attempts = p.uncounted)
          AND NOT EXISTS (SELECT FROM fitting AS beside WHERE beside.id = p.id)
        ORDER BY w.accepted_at DESC, w.id DESC
        LIMIT 1
    ) AS behind ON true
    {{elsewhere}}
),
probe AS MATERIALIZED (
    SELECT DISTINCT ON (h.destination) h.id
    FROM hindered AS h JOIN failing AS b ON b.destination = h.destination CROSS JOIN clock
    WHERE h.hindrance IS NULL AND b.probe_at <= clock.at
      AND (b.probe_until IS NULL OR b.probe_until <= clock.at OR b.probe_id = h.id)
    ORDER BY h.destination, h.accepted_at, h.id
),
judged AS MATERIALIZED (
    SELECT h.*, b.probe_at, probe.id IS NOT NULL AS is_probe, coalesce(h.hindrance,
        CASE WHEN b.destination IS NOT NULL AND probe.id IS NULL THEN 'breaker_open' END) AS verdict
    FROM hindered AS h LEFT JOIN failing AS b ON b.destination = h.destination LEFT JOIN probe ON probe.id = h.id
),
dated AS MATERIALIZED (
    SELECT j.*, CASE verdict
        WHEN 'paused' THEN clock.at
        WHEN 'busy' THEN coalesce(clock.at + make_interval(secs => wait), until)
        WHEN 'breaker_open' THEN greatest(probe_at, clock.at)
        WHEN 'queued' THEN until
        WHEN 'behind' THEN coalesce(until, clock.at + make_interval(secs => {ELSEWHERE_WAIT}))
    END AS due_at
    FROM judged AS j, clock
),
lined_up AS MATERIALIZED (
    SELECT d.id, d.attempts, d.destination, d.is_probe, coalesce(verdict, CASE WHEN key IS NULL THEN NULL
               WHEN bool_or(verdict IS NOT NULL) OVER before THEN
                   coalesce(max(verdict) FILTER (WHERE verdict IN ('busy', 'queued')) OVER before, 'behind')
               END) AS obstacle,
           coalesce(due_at, max(due_at) OVER before + interval '1 microsecond') AS due_at
    FROM dated AS d
    WINDOW before AS (PARTITION BY topic, key, CASE WHEN NOT is_strict THEN destination END
        ORDER BY accepted_at, id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
),
probing AS (
    UPDATE breakers AS b SET probe_id = l.id, probe_until = clock.at + make_interval(secs => %(lease)s)
    FROM lined_up AS l, clock WHERE l.is_probe AND l.obstacle IS NULL AND b.destination = l.destination
),
decided AS MATERIALIZED (
    SELECT id, CASE WHEN obstacle IS NULL THEN 'message.started' ELSE 'message.postponed' END AS type,
           jsonb_strip_nulls(jsonb_build_object('destination', destination, 'code', obstacle, 'due_at', due_at,
               'reason', CASE obstacle {_REASONS} END,
               'attempt', CASE WHEN obstacle IS NULL THEN attempts + 1 END,
               'lease_until', CASE WHEN obstacle IS NULL THEN at + make_interval(secs => %(lease)s) END)) AS payload,
           NULL AS publish_to, 0 AS place
    FROM lined_up, clock
)"""
_WON = """
SELECT id::text, attempts, uncounted, id IN (SELECT id FROM probe) AS is_probe, unknowns FROM moved
WHERE type = 'message.started' ORDER BY accepted_at, id
"""

# Only a strict topic asks whether another worker has one of the key: every table costs planning time.
_ELSEWHERE = """LEFT JOIN LATERAL (
        SELECT true AS found FROM leases AS l
        CROSS JOIN LATERAL (SELECT status FROM messages WHERE id = l.ids[1] OFFSET 0) AS p
        WHERE f.is_strict AND l.topic = f.topic AND l.key = f.key AND p.status = 'sending'
        LIMIT 1 OFFSET 0
    ) AS elsewhere ON true"""


def _prepare(label: str, *, or_elsewhere: str = "", elsewhere: str = "") -> Prepared:
    deciding = _CLAIM.format(or_elsewhere=or_elsewhere, elsewhere=elsewhere)
    text = moving(deciding, STARTED, POSTPONED, answer=_WON, locks_keys=bool(elsewhere))
    return prepare(label, text, records="text", lease="float8")


CLAIM = _prepare("claim")
CLAIM_STRICTLY = _prepare(
    "claim_strictly", or_elsewhere="OR f.is_strict AND NOT f.is_here AND elsewhere.found", elsewhere=_ELSEWHERE
)


def claim(connection: Connection, records: Sequence[Record], *, lease: float) -> dict[UUID, Claim]:
    """Start an attempt for each record that still fits and may be tried now; the winners in order of acceptance.

    The lease is in seconds, by the database's clock; until it ends nobody else settles the attempt.
    """
    statement = CLAIM_STRICTLY if any(record.is_strict for record in records) else CLAIM
    rows = fetch(connection, statement, {"records": _encode(records).decode(), "lease": lease})
    return {UUID(stream): Claim(*won) for stream, *won in rows}
