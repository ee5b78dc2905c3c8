"""Attempts whose lease ended without an outcome: unknown, and settled as their channel's policy says."""

from collections import Counter

import msgspec
import structlog

from herald.outbox.destination.policies import Policy, policy
from herald.outbox.moves.around import AROUND, Batch, chosen
from herald.outbox.moves.door import DEAD_LETTERED, UNKNOWN, moving
from herald.outbox.moves.request_again import LOCKED
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import execute, fetch, fetch_column
from herald.outbox.registry import CHANNELS, DEAD_LETTERS
from herald.outbox.settings import Settings
from herald.outbox.watched.relay import LEASES_ENDED

BATCH = 1_000  # attempts settled in one statement
_log = structlog.get_logger()

_FOUND = chosen("""
    SELECT m.id FROM leases AS l CROSS JOIN unnest(l.ids) AS held(id) JOIN messages AS m ON m.id = held.id
    WHERE l.until <= (SELECT clock_timestamp()) AND m.status = 'sending' AND m.due_at <= (SELECT clock_timestamp())
    ORDER BY m.priority DESC, m.due_at LIMIT %(limit)s
""")

# Of which every attempt is settled.
_OVER = """
DELETE FROM leases AS l WHERE l.until <= (SELECT clock_timestamp()) AND NOT EXISTS (
    SELECT FROM unnest(l.ids) AS held(id) JOIN messages AS m ON m.id = held.id
    WHERE m.status = 'sending' AND m.due_at = l.until)
"""

# Repeated at once, held for a person, or dead after the last attempt. `policy` has a row for each channel and for none,
# on strict topics and on others. What is held is what `Policy.is_held` says.
SETTLE = moving(
    f"""
policy AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset(%(policies)s::jsonb) AS p(channel text, is_strict boolean,
        max_attempts integer, unknown text)
),
found AS MATERIALIZED ({_FOUND}),
locked AS MATERIALIZED ({LOCKED}),
judged AS MATERIALIZED (
    SELECT m.id, m.topic, m.attempts, max_attempts, m.attempts - m.uncounted AS tries,
           CASE unknown WHEN 'hold' THEN true
               WHEN 'once' THEN m.unknowns > 0 OR m.attempts - m.uncounted >= max_attempts ELSE false END AS is_held
    FROM locked AS m JOIN policy AS p ON p.is_strict = (m.topic = ANY (%(strict_topics)s))
        AND p.channel IS NOT DISTINCT FROM  -- no longer registered: that of none
            (SELECT DISTINCT channel FROM policy WHERE channel = split_part(m.destination, ':', 1))
    WHERE m.status = 'sending' AND m.due_at <= (SELECT at FROM clock)
),
settled AS MATERIALIZED (
    SELECT *, NOT is_held AND tries >= max_attempts AS is_dead FROM judged
),
decided AS MATERIALIZED (
    SELECT id, CASE WHEN is_dead THEN 'message.dead_lettered' ELSE 'message.unknown' END AS type,
           jsonb_build_object('attempt', attempts, 'code', 'lease_ended', 'reason', 'no outcome before the lease ended'
               || CASE WHEN is_dead THEN format(' (attempt %%s of %%s)', tries, max_attempts) ELSE '' END)
               || CASE WHEN is_dead THEN jsonb_build_object('id', id, 'topic', topic)
                       ELSE jsonb_build_object('due_at', CASE WHEN NOT is_held THEN at END) END AS payload,
           CASE WHEN is_dead THEN %(dead_letters)s END AS publish_to, 0 AS place
    FROM settled, clock
)""",
    UNKNOWN,
    DEAD_LETTERED,
    answer="SELECT status, count(*) FROM moved GROUP BY status",
)


def settle_leases(connection: Connection, settings: Settings) -> int:
    """Settle one batch, in the caller's transaction; returns how many died: those are published."""
    settled = settle_batch(connection, settings)
    for status, count in settled.items():
        LEASES_ENDED.labels(status).inc(count)
    if settled:
        _log.warning(
            "outcomes_unknown",
            repeated=settled.get("failed", 0),
            held=settled.get("unknown", 0),
            dead=settled.get("dead", 0),
        )
    return settled.get("dead", 0)


def settle_batch(connection: Connection, settings: Settings) -> dict[str, int]:
    """The same without a word; returns how many are in which status now."""
    known = [None, *CHANNELS, *settings.channels]
    policies = [
        _terms(channel, policy(settings, channel, topic=topic), is_strict=topic is not None)
        for channel in dict.fromkeys(known)
        for topic in (None, *settings.strict_topics[:1])
    ]
    values = {
        "policies": msgspec.json.encode(policies).decode(),
        "strict_topics": list(settings.strict_topics),
        "limit": BATCH,
        "dead_letters": DEAD_LETTERS,
    }
    execute(connection, _OVER)
    settled: Counter[str] = Counter()

    def find(batch: Batch) -> list[str]:
        return fetch_column(connection, f"SELECT id::text FROM ({_FOUND}) AS batch", values | batch.values)

    def act(batch: Batch) -> dict[str, int]:
        return dict(fetch(connection, SETTLE, values | batch.values))

    for part in AROUND.act(connection, find, act):
        settled.update(part)
    return dict(settled)


def _terms(channel: str | None, found: Policy, *, is_strict: bool) -> dict[str, object]:
    attempts, unknown = found.retries.attempts, found.unknown
    return {"channel": channel, "is_strict": is_strict, "max_attempts": attempts, "unknown": unknown}
