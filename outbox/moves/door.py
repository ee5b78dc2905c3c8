"""The one door of every move: a statement decides events, and what follows from them is written here once.

A move selects `decided (id, type, payload, publish_to, place)` from messages that it has locked in the order of their
ids: `payload` is the event's own fields, `publish_to` the topic its record goes to, if any, `place` the order in the
log among those of one statement; an edit selects `data`, too. The ending moves the projection and appends the events:
it is `evolve` (outbox/message/state.py) in SQL, and a test folds random streams through both. What begins a
message, and the cancelling of one, are functions of the database (alembic/sql/0001_baseline/moves.sql).
"""

from collections.abc import Iterator
from dataclasses import dataclass

from herald.outbox.message.events import (
    DeadLettered,
    Discarded,
    Edited,
    Event,
    Expired,
    Failed,
    Late,
    OutcomeUnknown,
    Postponed,
    Rejected,
    Requested,
    Sent,
    Started,
)
from herald.outbox.message.notification import MAX_NAME, TOPIC


@dataclass(frozen=True, eq=False, slots=True)
class Effect:
    """What a decided event (`d`) does to its message (`m`): the columns that it sets, each as SQL."""

    when: str
    columns: dict[str, str]


def _effect(event: type[Event], also: str | None = None, /, **columns: str) -> Effect:
    when = f"d.type = '{event.TYPE}'"
    return Effect(f"{when} AND {also}" if also else when, columns)


_WHY = {"reason": "d.payload ->> 'reason'", "reason_code": "d.payload ->> 'code'"}
_DUE_AT = "(d.payload ->> 'due_at')::timestamptz"
_ATTEMPT = "(d.payload ->> 'attempt')::integer"
_DESTINATION = "d.payload ->> 'destination'"
_EVENT = f"CASE {{topic}} WHEN '{TOPIC}' THEN left({{data}} ->> 'event', {MAX_NAME}) END"
_IS_REQUEUE = "d.payload ->> 'cause' = 'requeued'"
_ASKED = {
    "status": "'pending'",
    "due_at": "NULL",
    "request": "(d.payload ->> 'request')::integer",
    "requested_in": "pg_current_xact_id()",
}

REQUESTED = _effect(Requested, f"NOT {_IS_REQUEUE}", **_ASKED)
REQUEUED = _effect(Requested, _IS_REQUEUE, **_ASKED, uncounted="m.attempts", unknowns="0", deliver_by="NULL")
STARTED = _effect(
    Started,
    status="'sending'",
    attempts=_ATTEMPT,
    due_at="(d.payload ->> 'lease_until')::timestamptz",
    destination=_DESTINATION,
)
POSTPONED = _effect(
    Postponed,
    "NOT d.payload ? 'attempt'",
    status="'scheduled'",
    **_WHY,
    due_at=_DUE_AT,
    destination=_DESTINATION,
)
GIVEN_BACK = _effect(
    Postponed,
    "d.payload ? 'attempt'",
    status="'scheduled'",
    **_WHY,
    due_at=_DUE_AT,
    uncounted="m.uncounted + 1",
)
SENT = _effect(Sent, status="'sent'", reason="NULL", reason_code="NULL", due_at="NULL", sent_at="clock.at")
FAILED = _effect(Failed, status="'failed'", **_WHY, due_at=_DUE_AT)
UNKNOWN = _effect(
    OutcomeUnknown,
    status="CASE WHEN d.payload ->> 'due_at' IS NULL THEN 'unknown' ELSE 'failed' END",
    **_WHY,
    due_at=_DUE_AT,
    unknowns="m.unknowns + 1",
)
DEAD_LETTERED = _effect(DeadLettered, status="'dead'", **_WHY, due_at="NULL")
REJECTED = _effect(Rejected, status="'dead'", **_WHY, due_at="NULL")
LATE = _effect(Late)
EXPIRED = _effect(Expired, status="'expired'", due_at="NULL")
EDITED = _effect(
    Edited, key="d.payload ->> 'key'", data_version="m.version + 1", event=_EVENT.format(topic="m.topic", data="d.data")
)
DISCARDED = _effect(Discarded, status="'discarded'", **_WHY)

# After which a message may be over, and after which it may wait, or goes before later ones of its key.
ENDS = frozenset({SENT, UNKNOWN, DEAD_LETTERED, REJECTED, EXPIRED, DISCARDED})
AGAIN = frozenset({REQUESTED, REQUEUED, POSTPONED, GIVEN_BACK, FAILED, UNKNOWN})

_HEAD = "WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS at),"

# Rows are found by their ids: a join alone would let the planner read all there are. A request that is repeated names
# the event that has the message's data: its record carries that.
_ENDING = """
moved AS (
    UPDATE messages AS m
    SET version = m.version + 1, updated_at = clock.at{columns}
    FROM decided AS d, clock
    WHERE m.id = ANY (ARRAY(SELECT id FROM decided)) AND m.id = d.id
    RETURNING m.id, m.version, m.status, m.attempts, m.uncounted, m.unknowns, m.destination, m.accepted_at,
        m.updated_at, m.topic, m.key, m.priority, m.request, m.due_at, m.deliver_by, m.reason, m.reason_code,
        d.type, d.publish_to, d.place, {data} AS data,
        CASE d.type WHEN '{requested}' THEN jsonb_strip_nulls(d.payload
                || jsonb_build_object('data_version', m.data_version, 'traceparent', m.traceparent))
            ELSE d.payload END AS payload
),
{leaving}logged AS (
    INSERT INTO outbox (stream_id, version, type, topic, key, data, payload, recorded_at)
    SELECT id, version, type, publish_to, CASE WHEN publish_to IS NOT NULL THEN key END, data, payload, updated_at
    FROM moved{left} ORDER BY place, id
){entering}
"""

# The queues that a move may concern (alembic/sql/0001_baseline/queues.sql). They are left by a function: its statements
# see what was committed before the message was locked, which this one may have begun too early for.
_LEAVING = "left_queues AS MATERIALIZED (SELECT leave_queues({over}, {waited}, {sent}) FROM moved),\n"
_THOSE = "array_agg(id) FILTER (WHERE NOT {condition})"
_NOBODY = "NULL::uuid[]"
_BEGUN_ANEW = """,
begun_anew AS (
    INSERT INTO unfinished (id, deliver_by) SELECT id, deliver_by FROM moved WHERE is_unfinished(status)
    ON CONFLICT (id) DO UPDATE SET deliver_by = excluded.deliver_by
)"""
_WAITS = """,
waits AS (
    INSERT INTO waiting (id, topic, key, destination, priority, request, due_at, accepted_at, line)
    SELECT id, topic, key, destination, priority, request, CASE WHEN has_date(status) THEN due_at END,
           accepted_at, line_of(status, reason_code, topic, key, destination, priority) FROM moved
    WHERE is_waiting(status, request)
    ON CONFLICT (id) DO UPDATE SET destination = excluded.destination, request = excluded.request,
        due_at = excluded.due_at, line = excluded.line
)"""
_UNSENT = """,
not_sent AS (
    INSERT INTO unsent (id, status, error) SELECT id, status, desk_error(status, reason) FROM moved
    WHERE is_unsent(status)
    ON CONFLICT (id) DO UPDATE SET status = excluded.status, error = excluded.error
)"""
_LEASED = """,
leased AS (
    INSERT INTO leases (until, ids) SELECT due_at, array_agg(id) FROM moved WHERE status = 'sending' GROUP BY due_at
)"""
_LEASED_BY_KEY = """,
leased AS (
    INSERT INTO leases (until, ids, topic, key) SELECT due_at, ARRAY[id], topic, key FROM moved WHERE status = 'sending'
)"""


def moving(deciding: str, *effects: Effect, answer: str = "SELECT FROM moved", locks_keys: bool = False) -> str:
    """The whole statement: the clock, what was decided, what follows from these events, and its answer.

    No other column is set than these events change: without a vacuum, PostgreSQL removes old versions from an index
    only where the UPDATE names none of its columns. Every event that may be decided has to be named. With `locks_keys`
    an attempt that begins has a lease of its own, with its key.
    """
    data = "d.data" if EDITED in effects else "NULL::json"
    leaving = _leaving(set(effects))
    follows = _ENDING.format(
        columns=_columns(effects),
        data=data,
        requested=Requested.TYPE,
        leaving=leaving,
        left=", left_queues" if leaving else "",
        entering="".join(_entering(set(effects), locks_keys=locks_keys)),
    )
    return _HEAD + deciding + "," + follows + answer


def _leaving(effects: set[Effect]) -> str:
    conditions = {
        "over": "is_unfinished(status)" if effects & ENDS else None,
        "waited": "is_waiting(status, request)" if effects & {*ENDS, REQUESTED} else None,
        "sent": "is_unsent(status)" if effects & {SENT, REQUEUED} else None,
    }
    if not any(conditions.values()):
        return ""
    those = {name: _THOSE.format(condition=one) if one else _NOBODY for name, one in conditions.items()}
    return _LEAVING.format(**those)


def _entering(effects: set[Effect], *, locks_keys: bool) -> Iterator[str]:
    if REQUEUED in effects:
        yield _BEGUN_ANEW
    if effects & {*AGAIN, STARTED}:
        yield _WAITS
    if effects & ENDS - {SENT}:
        yield _UNSENT
    if STARTED in effects:
        yield _LEASED_BY_KEY if locks_keys else _LEASED


def _columns(effects: tuple[Effect, ...]) -> str:
    names = dict.fromkeys(name for effect in effects for name in effect.columns)
    return "".join(f",\n        {name} = {_value(name, effects)}" for name in names)


def _value(name: str, effects: tuple[Effect, ...]) -> str:
    """One value where they all agree, or by the event; the others leave the column as it is."""
    values = [effect.columns.get(name) for effect in effects]
    if len(set(values)) == 1 and values[0] is not None:
        return values[0]
    cases = [f"WHEN {effect.when} THEN {effect.columns[name]}" for effect in effects if name in effect.columns]
    return f"CASE {' '.join(cases)} ELSE m.{name} END"
