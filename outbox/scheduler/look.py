"""What only the database knows, for the metrics of the leading relay.

Nothing here counts a table: each question ends after so many entries of an index, however many there are. Scrapes read
what was found last.
"""

from time import time

from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import execute, fetch, fetch_one, fetch_value
from herald.outbox.scheduler.sight import Sight
from herald.outbox.settings import Settings
from herald.outbox.watched import relay as metrics

LOOK = 10.0  # seconds between two looks
FIRST, MOST = 1_000, 10_000  # messages whose reasons are looked at, keys of a topic; what is counted at most
BEHIND = 20  # messages of a key among which one that holds up the others is looked for
DATED = "none"  # the reason of what waits for its own date
HOLDERS = ("session", "standby", "prepared", "slot")
_MOST = {"first": FIRST, "most": MOST, "behind": BEHIND}

# As in the relay's own session: what a table grew by since it was analysed says nothing to the planner, and what is
# sorted would be read to its end. Where a question fails, the connection is given up with its settings.
_AVOIDED = ("enable_seqscan", "enable_bitmapscan", "enable_sort")
PLAN = "; ".join(f"SET {name} = off" for name in _AVOIDED)
_PLAN_NO_MORE = "; ".join(f"RESET {name}" for name in _AVOIDED)
# The first date of each priority: there are ten. Who waits in line has a turn and no date that counts.
_DUE = """
SELECT extract(epoch FROM clock_timestamp() - min(due_at))::float8 FROM generate_series(0, 9) AS p(priority)
CROSS JOIN LATERAL (
    SELECT due_at FROM waiting AS w WHERE w.priority = p.priority AND due_at IS NOT NULL AND line IS NULL
    ORDER BY due_at LIMIT 1
) AS soonest
"""
_WAITING = """
SELECT coalesce(m.reason_code, %(dated)s), count(*) FROM (
    (SELECT id FROM generate_series(9, 0, -1) AS p(priority) CROSS JOIN LATERAL (
        SELECT id FROM waiting AS w WHERE w.priority = p.priority AND due_at IS NOT NULL AND line IS NULL
        ORDER BY due_at LIMIT %(first)s
    ) AS of_priority LIMIT %(first)s)
    UNION ALL
    (SELECT id FROM waiting WHERE line IS NOT NULL ORDER BY line, accepted_at, id LIMIT %(first)s)
) AS w CROSS JOIN LATERAL (SELECT reason_code FROM messages WHERE id = w.id OFFSET 0) AS m GROUP BY 1
"""
_DEAD_LETTERS = """
SELECT status, (SELECT count(*) FROM (
    SELECT FROM unsent AS u WHERE u.status = s.status LIMIT %(most)s) AS first)
FROM unnest(ARRAY['dead', 'unknown']) AS s(status)
"""
_OTHERS = """
SELECT (SELECT count(*) FROM (SELECT FROM breakers WHERE opened_at IS NOT NULL LIMIT %(most)s) AS b),
    (SELECT count(*) FROM pauses),
    (SELECT count(*) FROM relay_withheld), (SELECT coalesce(sum(waiting), 0)::bigint FROM relay_withheld),
    (SELECT count(*) FROM (SELECT FROM set_aside WHERE decision IS NULL LIMIT %(most)s) AS a)
"""
# Keys one after the other: an index has no list of its different values.
_BLOCKED = """
WITH RECURSIVE visited AS (
    (SELECT first.topic, first.key, 1 AS place FROM unnest(%(topics)s::text[]) AS strict(topic) CROSS JOIN LATERAL (
        SELECT w.topic, w.key FROM waiting AS w
        WHERE w.topic = strict.topic AND w.key IS NOT NULL ORDER BY w.topic, w.key LIMIT 1) AS first)
    UNION ALL
    SELECT next.topic, next.key, place + 1 FROM visited CROSS JOIN LATERAL (
        SELECT w.topic, w.key FROM waiting AS w
        WHERE w.topic = visited.topic AND w.key > visited.key ORDER BY w.topic, w.key LIMIT 1
    ) AS next WHERE place < %(first)s
)
SELECT count(*) FROM visited AS v WHERE (
    SELECT count(*) > 1 AND bool_or(line IS NULL) FROM (
        SELECT request, line FROM waiting AS w
        WHERE w.topic = v.topic AND w.key = v.key ORDER BY accepted_at, id LIMIT %(behind)s
    ) AS of_key WHERE request > 0)
"""
# Whose snapshot is the oldest of its kind, and since when: by its own date, or, where that is hidden or there is none,
# by the first event of the log that a later transaction has written.
_HORIZON = """
SELECT held.by, extract(epoch FROM clock_timestamp() - coalesce(held.since, (
    SELECT o.recorded_at FROM outbox AS o
    WHERE o.topic IS NOT NULL AND o.position > coalesce((SELECT floor FROM relay_cursor WHERE name = 'relay'), 0)
      AND o.transaction_id >= (pg_snapshot_xmax(pg_current_snapshot())::text::bigint - held.behind)::text::xid8
    ORDER BY o.transaction_id LIMIT 1)))::float8
FROM (
    SELECT DISTINCT ON (by) by, behind, since FROM (
        SELECT 'session' AS by, greatest(age(backend_xmin), age(backend_xid)) AS behind, xact_start AS since
        FROM pg_stat_activity
        WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND datname = current_database()
        UNION ALL
        SELECT 'standby', age(backend_xmin), NULL FROM pg_stat_activity WHERE backend_type = 'walsender'
        UNION ALL
        SELECT 'prepared', age(transaction), prepared FROM pg_prepared_xacts WHERE database = current_database()
        UNION ALL
        SELECT 'slot', greatest(age(xmin), age(catalog_xmin)), NULL FROM pg_replication_slots
    ) AS holding WHERE behind IS NOT NULL ORDER BY by, behind DESC
) AS held
"""
_AHEAD = """
SELECT extract(epoch FROM min(until) - clock_timestamp())::float8
FROM (SELECT max(ends_at) AS until FROM partitions GROUP BY parent) AS reach
"""
_OTHER = (
    metrics.OPEN_BREAKERS,
    metrics.PAUSES,
    metrics.WITHHELD_PARTITIONS,
    metrics.WITHHELD_RECORDS,
    metrics.SET_ASIDE,
)


class Looks:
    """One leader's."""

    def __init__(self, settings: Settings) -> None:
        self._topics = list(settings.strict_topics)
        self._sight = Sight()

    def look(self, connection: Connection) -> None:
        """Ask, and tell the metrics; `connection` in autocommit. Raises PostgresError."""
        execute(connection, PLAN)
        if cursor := self._sight.look(connection):
            metrics.CURSOR_AGE.tell(cursor[0])
            metrics.UNPUBLISHED_OLDEST.tell(cursor[1])
        metrics.DUE_OLDEST.tell(_age(fetch_one(connection, _DUE)[0]))
        metrics.WAITING.tell(_by_label(connection, _WAITING, dated=DATED))
        metrics.BLOCKED_KEYS.tell(fetch_value(connection, _BLOCKED, {**_MOST, "topics": self._topics}))
        metrics.DEAD_LETTERS.tell(_by_label(connection, _DEAD_LETTERS))
        metrics.HORIZON.tell({**dict.fromkeys(((holder,) for holder in HOLDERS), 0.0), **_horizon(connection)})
        metrics.PARTITIONS_AHEAD.tell(fetch_value(connection, _AHEAD))
        for known, value in zip(_OTHER, fetch_one(connection, _OTHERS, _MOST), strict=True):
            known.tell(value)
        execute(connection, _PLAN_NO_MORE)
        metrics.LOOKED.tell(time())


def _horizon(connection: Connection) -> dict[tuple[str, ...], float]:
    return {(holder,): _age(seconds) for holder, seconds in fetch(connection, _HORIZON)}


def _age(seconds: float | None) -> float:
    """0 where there is none, or its date is still to come."""
    return max(0.0, seconds or 0.0)


def _by_label(connection: Connection, query: str, **values: object) -> dict[tuple[str, ...], float]:
    return {(label,): count for label, count in fetch(connection, query, {**_MOST, **values})}
