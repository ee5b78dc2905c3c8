"""What the database knows, question by question: what one cannot learn does not hide the others.

None counts a table to its end: a person wants to know soon, and how many beyond 10,000 there are decides nothing.
"""

import contextlib
from dataclasses import dataclass
from typing import Any

from herald.outbox.message.state import FINAL
from herald.outbox.moves.pauses import PAUSES
from herald.outbox.operate.opening import connect_to_look, first_line
from herald.outbox.postgres.driver import Connection, PostgresError
from herald.outbox.postgres.registered import learn_names
from herald.outbox.postgres.statements import fetch_named
from herald.outbox.registry import TOPICS
from herald.outbox.settings import Settings

MOST = 10_000  # rows that are counted; one more says that there are more
SCANNED = 20_000  # messages of which each is looked at
FIRST = 2_000  # messages that wait, of which each is looked at

_SERVER = """
SELECT current_setting('server_version') AS version, current_database() AS name, pg_is_in_recovery() AS is_standby
"""

# What is sent, or ended otherwise, is counted among the first rows as they lie there: where these are all, the counts
# are exact. Beyond, what is not sent stands in queues.
MESSAGES = f"""
WITH looked AS MATERIALIZED (SELECT status FROM messages LIMIT {SCANNED + 1}),
is_small AS MATERIALIZED (SELECT count(*) <= {SCANNED} AS yes FROM looked),
open AS MATERIALIZED (
    SELECT m.status, m.accepted_at FROM (SELECT id FROM unfinished ORDER BY id LIMIT {MOST + 1}) AS u
    CROSS JOIN LATERAL (SELECT status, accepted_at FROM messages WHERE id = u.id OFFSET 0) AS m)
SELECT status, least(sum(count), {MOST + 1})::integer AS count,
    extract(epoch FROM clock_timestamp() - min(oldest))::float8 AS oldest_seconds
FROM (
    SELECT status, count(*) AS count, min(accepted_at) AS oldest FROM open GROUP BY status
    UNION ALL
    SELECT status, count(*), NULL FROM looked
    WHERE status = 'sent' OR status = ANY (%(unsent)s) AND (SELECT yes FROM is_small) GROUP BY status
    UNION ALL
    SELECT s.status, (SELECT count(*) FROM (SELECT FROM unsent AS u WHERE u.status = s.status LIMIT {MOST + 1}) AS of),
        NULL
    FROM unnest(%(unsent)s::text[]) AS s(status) WHERE NOT (SELECT yes FROM is_small)
) AS found WHERE count > 0 GROUP BY status ORDER BY status
"""

# The difference that the relay reads: visible to us, and not yet covered by its snapshots. Within a difference what
# lies behind the last position, and what became visible later before it.
BACKLOG = f"""
SELECT c.epoch, c.last_position, extract(epoch FROM clock_timestamp() - c.saved_at)::float8 AS saved_seconds_ago,
    least((SELECT count(*) FROM (
        SELECT FROM outbox WHERE c.target IS NOT NULL AND topic IS NOT NULL
            AND position > greatest(c.last_position, c.floor) AND NOT pg_visible_in_snapshot(transaction_id, c.previous)
        ORDER BY position LIMIT {MOST + 1}) AS behind)
    + (SELECT count(*) FILTER (WHERE position > c.floor AND (c.target IS NULL OR position <= c.last_position)) FROM (
        SELECT position FROM outbox WHERE topic IS NOT NULL
            AND transaction_id >= pg_snapshot_xmax(coalesce(c.target, c.previous))
            AND transaction_id < pg_snapshot_xmax(pg_current_snapshot())
        ORDER BY transaction_id LIMIT {MOST + 1}) AS later)
    + (SELECT count(*) FROM pg_snapshot_xip(coalesce(c.target, c.previous)) AS ended CROSS JOIN LATERAL (
        SELECT FROM outbox WHERE topic IS NOT NULL AND transaction_id = ended AND position > c.floor
            AND (c.target IS NULL OR position <= c.last_position)
        LIMIT {MOST + 1}) AS late WHERE pg_visible_in_snapshot(ended, pg_current_snapshot())),
    {MOST + 1})::integer AS not_published
FROM relay_cursor AS c WHERE c.name = 'relay'
"""


_BREAKERS = """
SELECT destination, reason, opened_at, probe_at, failures,
    extract(epoch FROM probe_at - clock_timestamp())::float8 AS probe_in_seconds
FROM breakers WHERE opened_at IS NOT NULL ORDER BY opened_at LIMIT 100
"""

ASIDE = f"""
SELECT reason, count(*) AS count, (array_agg(stream_id || '.' || version ORDER BY since DESC))[1] AS newest,
    (array_agg(error ORDER BY since DESC))[1] AS error
FROM (SELECT * FROM set_aside WHERE decision IS NULL ORDER BY since DESC LIMIT {MOST + 1}) AS newest
GROUP BY reason ORDER BY reason
"""

# Messages that pipelines took and gave back untried, more than once, by what the last one said.
UNTRIED = f"""
SELECT reason_code, (array_agg(reason ORDER BY m.id DESC))[1] AS reason, count(*) AS count,
    extract(epoch FROM clock_timestamp() - min(accepted_at))::float8 AS oldest_seconds,
    (array_agg(m.id::text ORDER BY m.id))[1] AS oldest
FROM (SELECT id FROM waiting ORDER BY id LIMIT {FIRST}) AS w
CROSS JOIN LATERAL (SELECT * FROM messages WHERE id = w.id OFFSET 0) AS m
WHERE status = 'scheduled'
    AND attempts = uncounted AND uncounted > 1
    AND NOT may_have_arrived(m.id)
GROUP BY reason_code ORDER BY count(*) DESC, reason_code LIMIT 5
"""

# Who waits in line for the turn of each, the longest lines first.
IN_LINE = f"""
SELECT line, least(count(*), {MOST + 1}) AS count,
    extract(epoch FROM clock_timestamp() - min(accepted_at))::float8 AS oldest_seconds
FROM (
    SELECT line, accepted_at FROM waiting WHERE line IS NOT NULL ORDER BY line, accepted_at, id LIMIT {SCANNED}
) AS first GROUP BY line ORDER BY count(*) DESC, line LIMIT 5
"""

# Messages that wait on topics for which this release has no consumer; `most` of what is not over is looked at, or all.
UNCONSUMED = """
SELECT topic, count(*) AS count, extract(epoch FROM clock_timestamp() - min(accepted_at))::float8 AS oldest_seconds,
    (array_agg(id::text ORDER BY id))[:%(limit)s] AS ids
FROM (SELECT id AS of FROM unfinished ORDER BY id LIMIT %(most)s) AS u
CROSS JOIN LATERAL (SELECT * FROM messages WHERE id = u.of OFFSET 0) AS m
WHERE status <> 'sending' AND topic <> ALL (%(topics)s)
GROUP BY topic ORDER BY topic
"""

# `retention` in seconds, or null: then nothing is ever due.
_PARTITIONS = """
SELECT (count(*) FILTER (WHERE parent = 'messages'))::integer AS count, min(ends_at) AS oldest_until,
    coalesce(sum(pg_total_relation_size(name::regclass)) FILTER (WHERE parent = 'outbox'), 0)::bigint AS outbox_bytes,
    coalesce(sum(pg_total_relation_size(name::regclass)) FILTER (WHERE parent = 'messages'), 0)::bigint
        AS messages_bytes,
    (count(*) FILTER (WHERE parent = 'messages' AND upper > horizon
        AND ends_at <= clock_timestamp() - make_interval(secs => %(retention)s)))::integer AS due,
    waits_for, closed_at
FROM partitions CROSS JOIN closing GROUP BY waits_for, closed_at
"""

# What the relay's cursor passes and does not publish; `waiting` is counted by the relay.
WITHHELD = """
SELECT topic, partition, reason, since, waiting,
    extract(epoch FROM clock_timestamp() - since)::float8 AS withheld_seconds
FROM relay_withheld ORDER BY topic, partition
"""

# By their names in the machine form.
QUESTIONS = {
    "database": _SERVER,
    "migration": "SELECT version_num AS revision FROM alembic_version",
    "messages": MESSAGES,
    "partitions": _PARTITIONS,
    "relay": BACKLOG,
    "pauses": PAUSES,
    "open_breakers": _BREAKERS,
    "withheld": WITHHELD,
    "set_aside": ASIDE,
    "untried": UNTRIED,
    "in_line": IN_LINE,
    "no_consumer": UNCONSUMED,
    "instance": "SELECT id::text AS id FROM instance",
}
Row = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """Rows, or the reason why there are none."""

    rows: list[Row]
    error: str | None = None

    @property
    def row(self) -> Row:
        """The first row; empty when there is none."""
        return self.rows[0] if self.rows else {}


def read_database(settings: Settings) -> dict[str, Answer]:
    """Ask the database; raises nothing that it answers."""
    unsent = sorted(FINAL - {"sent"})
    values = {"topics": list(TOPICS), "limit": 1, "most": MOST, "retention": settings.retention, "unsent": unsent}
    try:
        connection = connect_to_look(settings, "herald-status")
    except PostgresError as error:
        return dict.fromkeys(QUESTIONS, Answer([], first_line(error)))
    with contextlib.closing(connection):
        with contextlib.suppress(PostgresError):
            learn_names(connection)
        return {name: _ask(connection, question, values) for name, question in QUESTIONS.items()}


def _ask(connection: Connection, question: str, values: Row) -> Answer:
    try:
        return Answer(fetch_named(connection, question, values))
    except PostgresError as error:
        return Answer([], first_line(error))
