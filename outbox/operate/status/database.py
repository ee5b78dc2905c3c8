"""What the database knows, question by question: what one cannot learn does not hide the others."""

import contextlib
from dataclasses import dataclass
from typing import Any

from herald.outbox.moves.pauses import PAUSES
from herald.outbox.operate.opening import connect_to_look, first_line
from herald.outbox.postgres.driver import Connection, PostgresError
from herald.outbox.postgres.registered import learn_names
from herald.outbox.postgres.statements import fetch_named
from herald.outbox.registry import TOPICS
from herald.outbox.settings import Settings

_SERVER = """
SELECT current_setting('server_version') AS version, current_database() AS name, pg_is_in_recovery() AS is_standby
"""

_MESSAGES = """
SELECT status, count(*) AS count,
    extract(epoch FROM clock_timestamp() - min(accepted_at))::float8 AS oldest_seconds
FROM messages GROUP BY status ORDER BY status
"""

# The difference that the relay reads: visible to us, and not yet covered by its snapshots.
BACKLOG = """
SELECT c.epoch, c.last_position, extract(epoch FROM clock_timestamp() - c.saved_at)::float8 AS saved_seconds_ago,
    (SELECT count(*) FROM outbox AS o
     WHERE o.topic IS NOT NULL AND o.position > c.floor
       AND o.transaction_id >= pg_snapshot_xmin(c.previous)
       AND NOT pg_visible_in_snapshot(o.transaction_id, c.previous)
       AND NOT (c.target IS NOT NULL AND o.position <= c.last_position
                AND pg_visible_in_snapshot(o.transaction_id, c.target))) AS backlog
FROM relay_cursor AS c WHERE c.name = 'relay'
"""


_BREAKERS = """
SELECT destination, reason, opened_at, probe_at, failures,
    extract(epoch FROM probe_at - clock_timestamp())::float8 AS probe_in_seconds
FROM breakers WHERE opened_at IS NOT NULL ORDER BY opened_at
"""

ASIDE = """
SELECT reason, count(*) AS count, (array_agg(stream_id || '.' || version ORDER BY since DESC))[1] AS newest,
    (array_agg(error ORDER BY since DESC))[1] AS error
FROM set_aside WHERE decision IS NULL GROUP BY reason ORDER BY reason
"""

# Messages that pipelines took and gave back untried, more than once, by what the last one said.
UNTRIED = """
SELECT reason_code, (array_agg(reason ORDER BY id DESC))[1] AS reason, count(*) AS count,
    extract(epoch FROM clock_timestamp() - min(accepted_at))::float8 AS oldest_seconds,
    (array_agg(id::text ORDER BY id))[1] AS oldest
FROM messages WHERE id IN (SELECT w.id FROM waiting AS w) AND status = 'scheduled'
    AND attempts = uncounted AND uncounted > 1
    AND NOT may_have_arrived(id)
GROUP BY reason_code ORDER BY count(*) DESC, reason_code LIMIT 5
"""

# Who waits in line for the turn of each, the longest lines first.
IN_LINE = """
SELECT line, count(*) AS count, extract(epoch FROM clock_timestamp() - min(accepted_at))::float8 AS oldest_seconds
FROM waiting WHERE line IS NOT NULL GROUP BY line ORDER BY count(*) DESC, line LIMIT 5
"""

# Messages that wait on topics for which this release has no consumer.
UNCONSUMED = """
SELECT topic, count(*) AS count, extract(epoch FROM clock_timestamp() - min(accepted_at))::float8 AS oldest_seconds,
    (array_agg(id::text ORDER BY id))[:%(limit)s] AS ids
FROM messages WHERE id IN (SELECT u.id FROM unfinished AS u) AND status <> 'sending' AND topic <> ALL (%(topics)s)
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
    "messages": _MESSAGES,
    "partitions": _PARTITIONS,
    "relay": BACKLOG,
    "pauses": PAUSES,
    "open_breakers": _BREAKERS,
    "withheld": WITHHELD,
    "set_aside": ASIDE,
    "untried": UNTRIED,
    "in_line": IN_LINE,
    "without_consumer": UNCONSUMED,
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
    values = {"topics": list(TOPICS), "limit": 1, "retention": settings.retention}
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
