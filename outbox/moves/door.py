"""The one door of every move: a statement decides events, and what follows from them is written here once.

A move selects `decided (id, type, payload, publish_to, place)` from messages that it has locked in the order of their
ids: `payload` is the event's own fields, `publish_to` the topic its record goes to, if any, `place` the order in the
log among those of one statement; an edit selects `data`, too. The ending moves the projection and appends the events:
it is `evolve` (outbox/message/state.py) in SQL, and a test folds random streams through both. What begins a message
selects `opened`.
"""

from typing import Literal, NamedTuple

from herald.outbox.message.events import (
    DEFAULT_PRIORITY,
    Cancelled,
    DeadLettered,
    Discarded,
    Edited,
    Event,
    Expired,
    Failed,
    Late,
    OutcomeUnknown,
    Postponed,
    Recovered,
    Rejected,
    Requested,
    Sent,
    Started,
)
from herald.outbox.message.notification import MAX_NAME, TOPIC


class Effect(NamedTuple):
    """What a decided event (`d`) does to its message (`m`): the columns that it sets, each as SQL."""

    when: str
    columns: dict[str, str]


def _effect(event: type[Event], also: str | None = None, /, **columns: str) -> Effect:
    when = f"d.type = '{event.TYPE}'"
    return Effect(f"{when} AND {also}" if also else when, columns)


_REASON = "d.payload ->> 'reason'"
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
    reason=_REASON,
    due_at=_DUE_AT,
    destination=_DESTINATION,
)
GIVEN_BACK = _effect(
    Postponed,
    "d.payload ? 'attempt'",
    status="'scheduled'",
    reason=_REASON,
    due_at=_DUE_AT,
    uncounted="m.uncounted + 1",
)
SENT = _effect(Sent, status="'sent'", reason="NULL", due_at="NULL", sent_at="clock.at")
FAILED = _effect(Failed, status="'failed'", reason=_REASON, due_at=_DUE_AT)
UNKNOWN = _effect(
    OutcomeUnknown,
    status="CASE WHEN d.payload ->> 'due_at' IS NULL THEN 'unknown' ELSE 'failed' END",
    reason=_REASON,
    due_at=_DUE_AT,
    unknowns="m.unknowns + 1",
)
DEAD_LETTERED = _effect(DeadLettered, status="'dead'", reason=_REASON, due_at="NULL")
REJECTED = _effect(Rejected, status="'dead'", reason=_REASON, due_at="NULL")
LATE = _effect(Late)
CANCELLED = _effect(Cancelled, status="'cancelled'", due_at="NULL")
EXPIRED = _effect(Expired, status="'expired'", due_at="NULL")
EDITED = _effect(
    Edited, key="d.payload ->> 'key'", data_version="m.version + 1", event=_EVENT.format(topic="m.topic", data="d.data")
)
DISCARDED = _effect(Discarded, status="'discarded'", reason=_REASON)

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
        m.updated_at, d.type, d.publish_to, d.place, CASE WHEN d.publish_to IS NOT NULL THEN m.key END AS key,
        {data} AS data,
        CASE d.type WHEN '{requested}' THEN jsonb_strip_nulls(d.payload
                || jsonb_build_object('data_version', m.data_version, 'traceparent', m.traceparent))
            ELSE d.payload END AS payload
),
logged AS (
    INSERT INTO outbox (stream_id, version, type, topic, key, data, payload, recorded_at)
    SELECT id, version, type, publish_to, key, data, payload, updated_at FROM moved ORDER BY place, id
)
"""

# The event and its projection carry the same date, so a rebuild equals the table.
_OPENING = """
logged AS (
    INSERT INTO outbox (stream_id, version, type, topic, key, data, payload, recorded_at)
    SELECT id, version, type,
           CASE type WHEN '{requested}' THEN topic END,
           CASE type WHEN '{requested}' THEN key END,
           data,
           jsonb_strip_nulls(jsonb_build_object(
               'topic', CASE WHEN type <> '{requested}' THEN topic END,
               'key', CASE WHEN type <> '{requested}' THEN key END,
               'source', source,
               'request', CASE WHEN type IN ('{requested}', '{recovered}') THEN request END,
               'cause', CASE type WHEN '{requested}' THEN 'accepted' END,
               'due_at', due_at, 'deliver_by', deliver_by, 'priority', priority, 'traceparent', traceparent)),
           at
    FROM opened, clock{skipping}
),
projected AS (
    INSERT INTO messages (id, topic, key, data_version, event, traceparent, status, version, request, attempts,
                          due_at, deliver_by, priority, requested_in, accepted_at, updated_at)
    SELECT id, topic, key, version, {event}, traceparent,
           CASE WHEN due_at IS NULL THEN 'pending' ELSE 'scheduled' END, version,
           request, 0, due_at, deliver_by, coalesce(priority, {priority}), pg_current_xact_id(), at, at
    FROM opened, clock{appended}
)
"""
_SKIPPING = """
    ON CONFLICT DO NOTHING
    RETURNING stream_id"""
_APPENDED = """
    WHERE id IN (SELECT stream_id FROM logged)"""


def moving(deciding: str, *effects: Effect, answer: str = "SELECT FROM moved") -> str:
    """The whole statement: the clock, what was decided, what follows from these events, and its answer.

    No other column is set than these events change: without a vacuum, PostgreSQL removes old versions from an index
    only where the UPDATE names none of its columns. Every event that may be decided has to be named.
    """
    data = "d.data" if EDITED in effects else "NULL::json"
    follows = _ENDING.format(columns=_columns(effects), data=data, requested=Requested.TYPE)
    return _HEAD + deciding + "," + follows + answer


def opening(deciding: str, *, answer: str, known: Literal["refused", "skipped"] = "refused") -> str:
    """The whole statement that begins messages, which it selects as `opened`.

    That has `id, version, type, topic, key, data, source, request, due_at, deliver_by, priority, traceparent`.
    """
    is_skipped = known == "skipped"
    follows = _OPENING.format(
        requested=Requested.TYPE,
        recovered=Recovered.TYPE,
        priority=DEFAULT_PRIORITY,
        event=_EVENT.format(topic="topic", data="data"),
        skipping=_SKIPPING if is_skipped else "",
        appended=_APPENDED if is_skipped else "",
    )
    return _HEAD + deciding + "," + follows + answer


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
