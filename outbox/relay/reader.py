"""Reads pages: what became visible between two snapshots, in the order of positions.

`position > last` alone loses every transaction that commits after one with a higher position
(measured: 39 % of the events of concurrent writers). Reading below `xmin` loses none, but stalls
while any transaction in the cluster stays open. The difference of two snapshots does neither.
"""

from dataclasses import dataclass, replace
from typing import Any

from psycopg2.extensions import connection as Connection  # noqa: N812 - a class with a lower-case name

from outbox.relay.cursor import Cursor

# stream_id, version, type, topic, key, payload, recorded_at, request, traceparent, position
Row = tuple[str, int, str, str, str | None, str, str, str | None, str | None, int]

ROW = """
    stream_id::text, version, type, topic, key, payload::text,
    to_char(recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    headers ->> 'request', headers ->> 'traceparent', position
"""

# One statement, so that the snapshot it reports is the one it reads by: two would lose what commits in between.
# Below the floor stands another cluster's past, and what was being written during the rebase: its positions were given
# out before, and its transactions were in progress. (A row of the past with the same id is published once more.)
# Positions are sorted before rows are fetched, or the planner joins the whole log by hash.
_FIRST_PAGE = f"""
WITH fresh AS (
    SELECT position, stream_id, version FROM outbox
    WHERE topic IS NOT NULL AND position > %(floor)s
      AND transaction_id >= pg_snapshot_xmax(%(previous)s::pg_snapshot)
    UNION ALL
    SELECT position, stream_id, version FROM outbox
    WHERE topic IS NOT NULL
      AND transaction_id = ANY (ARRAY(SELECT pg_snapshot_xip(%(previous)s::pg_snapshot)))
),
page AS MATERIALIZED (SELECT * FROM fresh ORDER BY position LIMIT %(size)s)
SELECT pg_current_snapshot()::text, events.*
FROM (SELECT) AS always LEFT JOIN (
    SELECT event.* FROM page CROSS JOIN LATERAL (
        SELECT {ROW} FROM outbox AS o
        WHERE o.stream_id = page.stream_id AND o.version = page.version OFFSET 0
    ) AS event
) AS events ON true
ORDER BY position
"""

_NEXT_PAGE = f"""
SELECT {ROW} FROM outbox
WHERE topic IS NOT NULL AND position > %(last)s
  AND (position > %(floor)s OR transaction_id = ANY (ARRAY(SELECT pg_snapshot_xip(%(previous)s::pg_snapshot))))
  AND NOT pg_visible_in_snapshot(transaction_id, %(previous)s::pg_snapshot)
  AND pg_visible_in_snapshot(transaction_id, %(target)s::pg_snapshot)
ORDER BY position LIMIT %(size)s
"""

# The planner knows nothing of a log that grows by the thousand between two ANALYZE: these plans hold at every size.
PLAN = (
    "SET enable_seqscan = off",
    "SET enable_bitmapscan = off",
    "SET enable_hashjoin = off",
    "SET enable_mergejoin = off",
    "SET jit = off",
)


@dataclass(frozen=True, slots=True)
class Page:
    """Rows to publish together, and the cursor that holds once all of them are settled."""

    rows: list[Row]
    cursor: Cursor


def read_page(connection: Connection, cursor: Cursor, *, size: int) -> Page:
    """The next `size` rows at most; an empty page means that nothing new is visible."""
    if cursor.target is None:
        return _read_first(connection, cursor, size)
    return _read_next(connection, cursor, cursor.target, size)


def _read_first(connection: Connection, cursor: Cursor, size: int) -> Page:
    values = {"previous": cursor.previous, "floor": cursor.floor, "size": size}
    found = _fetch(connection, _FIRST_PAGE, values)
    target = found[0][0]
    rows: list[Row] = [row[1:] for row in found if row[1] is not None]
    return make_page(cursor, rows, target, size)


def _read_next(connection: Connection, cursor: Cursor, target: str, size: int) -> Page:
    values = {
        "previous": cursor.previous,
        "target": target,
        "last": cursor.last_position,
        "floor": cursor.floor,
        "size": size,
    }
    return make_page(cursor, _fetch(connection, _NEXT_PAGE, values), target, size)


def make_page(cursor: Cursor, rows: list[Row], target: str, size: int) -> Page:
    """A page of what was found; fewer than `size` rows are the last of a difference."""
    last_position = rows[-1][-1] if rows else cursor.last_position
    is_last = len(rows) < size
    return Page(rows, cursor.after_page(target=target, last_position=last_position, is_last=is_last))


def _fetch(connection: Connection, statement: str, values: dict[str, Any]) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall()


def with_epoch(cursor: Cursor, epoch: int) -> Cursor:
    """The same place, to be saved over `epoch`."""
    return replace(cursor, epoch=epoch)
