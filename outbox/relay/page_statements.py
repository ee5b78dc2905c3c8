"""What the relay asks the log: pages of a difference between two snapshots, and rows by their places."""

from herald.outbox.message.events import Requested
from herald.outbox.postgres.prepared import prepare

LARGEST = 2_000_000  # bytes of a row that is read: twice what a producer takes
UNKNOWN_SIZE = 100_000  # bytes that a row counts for which is older than the column; looking would read it

# Of a row `o`: a request's record carries the message's data, which a repeated one names by the version that has it.
_VALUE = f"""
    CASE WHEN o.type <> '{Requested.TYPE}' THEN o.payload::text ELSE coalesce(o.data::text, (
        SELECT named.data::text FROM outbox AS named
        WHERE named.stream_id = o.stream_id AND named.version = (o.payload ->> 'data_version')::integer)) END
"""
ROW = f"""
    o.stream_id::text, o.version, o.type, o.topic, o.key, {_VALUE},
    to_char(o.recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    o.payload ->> 'request', o.payload ->> 'traceparent', o.position
"""
# The same with an outline of what is too large for any record: it is not read.
_OUTLINE = f"""
    o.stream_id::text, o.version, o.type, left(o.topic, 250), CASE WHEN is_small THEN o.key END,
    CASE WHEN is_small THEN {_VALUE} END,
    to_char(o.recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    left(o.payload ->> 'request', 20), CASE WHEN is_small THEN o.payload ->> 'traceparent' END, o.position
"""
_BYTES = f"coalesce(size, {UNKNOWN_SIZE}) AS bytes"
# The first row, and more as long as all of them together are not too large.
_FITS = "WHERE total <= %(max_bytes)s OR total = bytes"
_TOTALS = f"""
    bytes <= {LARGEST} AS is_small, count(*) OVER () AS found,
    sum(bytes) OVER (ORDER BY position ROWS UNBOUNDED PRECEDING) AS total
"""

# One statement, so that the snapshot it reports is the one it reads by: two would lose what commits in between.
# Below the floor stands another cluster's past, and what was being written during the rebase: its positions were given
# out before, and its transactions were in progress. (A row of the past with the same id is published once more.)
# A row that can be seen, and has the id of a transaction that is not over, was forged or comes from another cluster: it
# would be read again and again until then.
# Positions are sorted before rows are fetched, or the planner joins the whole log by hash.
_FRESH = f"""
WITH fresh AS (
    SELECT position, stream_id, version, {_BYTES} FROM outbox
    WHERE topic IS NOT NULL AND position > %(floor)s
      AND transaction_id >= pg_snapshot_xmax(%(previous)s)
      AND transaction_id < pg_snapshot_xmax(pg_current_snapshot())
    UNION ALL
    SELECT position, stream_id, version, {_BYTES} FROM outbox
    WHERE topic IS NOT NULL
      AND transaction_id = ANY (ARRAY(SELECT pg_snapshot_xip(%(previous)s)))
      AND pg_visible_in_snapshot(transaction_id, pg_current_snapshot())
),
page AS MATERIALIZED (SELECT * FROM fresh ORDER BY position LIMIT %(size)s),
bounded AS MATERIALIZED (SELECT * FROM (SELECT *, {_TOTALS} FROM page) AS totals {_FITS})
"""
_FIRST_PAGE = f"""{_FRESH}
SELECT events.*, (SELECT pg_current_snapshot()::text)
FROM (SELECT) AS always LEFT JOIN (
    SELECT bytes, event.*, found FROM bounded CROSS JOIN LATERAL (
        SELECT {_OUTLINE} FROM outbox AS o
        WHERE o.stream_id = bounded.stream_id AND o.version = bounded.version OFFSET 0
    ) AS event
) AS events ON true
ORDER BY position
"""
_FIRST_PLACES = f"""{_FRESH}
SELECT position, stream_id::text, version, bytes, found, (SELECT pg_current_snapshot()::text)
FROM (SELECT) AS always LEFT JOIN bounded ON true
ORDER BY position
"""

# What is not chosen is not read: only the outer statement unfolds what is stored apart.
_FOLLOWING = f"""
FROM (SELECT *, {_TOTALS} FROM (
    SELECT stream_id, version, type, topic, key, data, payload, recorded_at, position, {_BYTES} FROM outbox
    WHERE topic IS NOT NULL AND position > %(last)s
      AND (position > %(floor)s OR transaction_id = ANY (ARRAY(SELECT pg_snapshot_xip(%(previous)s))))
      AND NOT pg_visible_in_snapshot(transaction_id, %(previous)s)
      AND pg_visible_in_snapshot(transaction_id, %(target)s)
    ORDER BY position LIMIT %(size)s
) AS page) AS o {_FITS}
ORDER BY position
"""
_NEXT_PAGE = f"SELECT bytes, {_OUTLINE}, found {_FOLLOWING}"
_NEXT_PLACES = f"SELECT position, stream_id::text, version, bytes, found {_FOLLOWING}"

_FIRST = {"previous": "pg_snapshot", "floor": "bigint", "size": "bigint", "max_bytes": "bigint"}
_NEXT = {**_FIRST, "target": "pg_snapshot", "last": "bigint"}
PAGES = (prepare("first_page", _FIRST_PAGE, **_FIRST), prepare("next_page", _NEXT_PAGE, **_NEXT))
PLACES = (prepare("first_places", _FIRST_PLACES, **_FIRST), prepare("next_places", _NEXT_PLACES, **_NEXT))

AT_PLACES = f"""
SELECT bytes, event.*
FROM (
    SELECT *, bytes <= {LARGEST} AS is_small
    FROM unnest(%(streams)s::uuid[], %(versions)s::integer[], %(sizes)s::bigint[]) AS asked(stream_id, version, bytes)
) AS places CROSS JOIN LATERAL (
    SELECT {_OUTLINE} FROM outbox AS o
    WHERE o.stream_id = places.stream_id AND o.version = places.version OFFSET 0
) AS event
ORDER BY position
"""

# The planner knows nothing of a log that grows by the thousand between two ANALYZE: these plans hold at every size.
PLAN = (
    "SET enable_bitmapscan = off",
    "SET enable_hashjoin = off",
    "SET enable_mergejoin = off",
)
