"""What only the database knows, for the metrics of the leading relay.

Nothing here counts a table: each question ends after so many entries of an index, however many there are. Scrapes read
what was found last.
"""

from time import time

from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch, fetch_one, find_one
from herald.outbox.watched import relay as metrics

LOOK = 10.0  # seconds between two looks
FIRST, MOST = 1_000, 10_000  # messages whose reasons are looked at; what is counted at most
DATED = "none"  # the reason of what waits for its own date
_MOST = {"first": FIRST, "most": MOST}

# As the relay finds its next page (outbox/relay/page_statements.py), within a difference and between two.
_CURSOR = """
SELECT extract(epoch FROM clock_timestamp() - c.saved_at)::float8,
    extract(epoch FROM clock_timestamp() - CASE WHEN c.target IS NULL THEN least(
        (SELECT recorded_at FROM outbox
         WHERE topic IS NOT NULL AND transaction_id >= pg_snapshot_xmax(c.previous)
           AND transaction_id < pg_snapshot_xmax(pg_current_snapshot())
         ORDER BY transaction_id LIMIT 1),
        (SELECT min(recorded_at) FROM (
            SELECT recorded_at FROM outbox
            WHERE topic IS NOT NULL AND transaction_id = ANY (ARRAY(SELECT pg_snapshot_xip(c.previous)))
              AND pg_visible_in_snapshot(transaction_id, pg_current_snapshot())
            LIMIT %(first)s) AS late))
    ELSE (
        SELECT min(recorded_at) FROM (
            SELECT recorded_at, transaction_id FROM outbox
            WHERE topic IS NOT NULL AND position > c.last_position ORDER BY position LIMIT %(first)s) AS following
        WHERE NOT pg_visible_in_snapshot(transaction_id, c.previous))
    END)::float8
FROM relay_cursor AS c WHERE name = 'relay'
"""
# The first date of each priority: there are ten.
_DUE = """
SELECT extract(epoch FROM clock_timestamp() - min(due_at))::float8 FROM generate_series(0, 9) AS p(priority)
CROSS JOIN LATERAL (
    SELECT due_at FROM waiting AS w WHERE w.priority = p.priority AND due_at IS NOT NULL ORDER BY due_at LIMIT 1
) AS soonest
"""
_WAITING = """
SELECT coalesce(m.reason_code, %(dated)s), count(*) FROM (
    SELECT id FROM generate_series(9, 0, -1) AS p(priority) CROSS JOIN LATERAL (
        SELECT id FROM waiting AS w WHERE w.priority = p.priority AND due_at IS NOT NULL ORDER BY due_at
        LIMIT %(first)s
    ) AS of_priority LIMIT %(first)s
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
_OTHER = (
    metrics.OPEN_BREAKERS,
    metrics.PAUSES,
    metrics.WITHHELD_PARTITIONS,
    metrics.WITHHELD_RECORDS,
    metrics.SET_ASIDE,
)


def look(connection: Connection) -> None:
    """Ask, and tell the metrics."""
    cursor = find_one(connection, _CURSOR, _MOST)
    if cursor is not None:
        metrics.CURSOR_AGE.tell(cursor[0])
        metrics.UNPUBLISHED_OLDEST.tell(_age(cursor[1]))
    metrics.DUE_OLDEST.tell(_age(fetch_one(connection, _DUE)[0]))
    metrics.WAITING.tell(_by_label(connection, _WAITING, dated=DATED))
    metrics.DEAD_LETTERS.tell(_by_label(connection, _DEAD_LETTERS))
    for known, value in zip(_OTHER, fetch_one(connection, _OTHERS, _MOST), strict=True):
        known.tell(value)
    metrics.LOOKED.tell(time())


def _age(seconds: float | None) -> float:
    """0 where there is none, or its date is still to come."""
    return max(0.0, seconds or 0.0)


def _by_label(connection: Connection, query: str, **values: object) -> dict[tuple[str, ...], float]:
    return {(label,): count for label, count in fetch(connection, query, {**_MOST, **values})}
