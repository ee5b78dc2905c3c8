"""Since when the relay could see what it has not published.

A row is written long before others can see it where its transaction stays open: its age by `recorded_at` is no delay of
the relay's. So each look remembers its snapshot. What a look did not see became visible after it, and is as old as the
look at most; what was written later is as old as its date says. Nothing is taken for younger than it is.
"""

from datetime import datetime

from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import find_one

ROWS = 1_000  # of what is not published: the first by transaction, or by position within a page's difference
MOST_LOOKS = 60  # remembered; during an outage of hours every second one is left out, again and again

# As the relay finds its next page (outbox/relay/page_statements.py), within a difference and between two.
_OLDEST = """
SELECT extract(epoch FROM clock_timestamp() - c.saved_at)::float8, oldest.since,
    extract(epoch FROM clock_timestamp() - oldest.since)::float8, clock_timestamp(), pg_current_snapshot()::text
FROM relay_cursor AS c CROSS JOIN LATERAL (
    SELECT min(greatest(first.recorded_at, (
        SELECT max(looked.at) FROM unnest(%(dates)s::timestamptz[], %(snapshots)s::pg_snapshot[]) AS looked(at, saw)
        WHERE NOT pg_visible_in_snapshot(first.transaction_id, looked.saw)))) AS since
    FROM (
        SELECT transaction_id, min(recorded_at) AS recorded_at FROM (
            (SELECT transaction_id, recorded_at FROM outbox
             WHERE c.target IS NULL AND topic IS NOT NULL AND position > c.floor
               AND transaction_id >= pg_snapshot_xmax(c.previous)
               AND transaction_id < pg_snapshot_xmax(pg_current_snapshot())
             ORDER BY transaction_id LIMIT %(rows)s)
            UNION ALL
            (SELECT written.* FROM pg_snapshot_xip(c.previous) AS ended CROSS JOIN LATERAL (
                SELECT transaction_id, recorded_at FROM outbox
                WHERE topic IS NOT NULL AND position > c.floor AND transaction_id = ended LIMIT %(rows)s) AS written
             WHERE c.target IS NULL AND pg_visible_in_snapshot(ended, pg_current_snapshot()) LIMIT %(rows)s)
            UNION ALL
            (SELECT transaction_id, recorded_at FROM (
                SELECT transaction_id, recorded_at FROM outbox
                WHERE c.target IS NOT NULL AND topic IS NOT NULL AND position > c.last_position
                ORDER BY position LIMIT %(rows)s) AS following
             WHERE NOT pg_visible_in_snapshot(transaction_id, c.previous))
        ) AS unpublished GROUP BY transaction_id
    ) AS first
) AS oldest
WHERE c.name = 'relay'
"""


class Sight:
    """One leader's; what it saw before, it does not know, and goes by when a row was written.

    `dates` and `snapshots` are those of the looks that it remembers, the oldest first.
    """

    def __init__(self) -> None:
        self.dates: list[datetime] = []
        self.snapshots: list[str] = []

    def look(self, connection: Connection) -> tuple[float, float] | None:
        """How long ago the cursor was saved, and since when something waits for it, 0 where nothing does; in seconds.

        None where no relay has led yet. Raises PostgresError.
        """
        values = {"dates": self.dates, "snapshots": self.snapshots, "rows": ROWS}
        found = find_one(connection, _OLDEST, values)
        if found is None:
            return None
        saved, since, waits, at, snapshot = found
        self._remember(since, at, snapshot)
        return saved, max(0.0, waits or 0.0)

    def _remember(self, since: datetime | None, at: datetime, snapshot: str) -> None:
        """Of the looks that saw nothing of what waits the last is enough."""
        blind = sum(since is None or date <= since for date in self.dates)
        first = max(0, blind - 1)
        self.dates, self.snapshots = [*self.dates[first:], at], [*self.snapshots[first:], snapshot]
        if len(self.dates) > MOST_LOOKS:
            del self.dates[1:-1:2], self.snapshots[1:-1:2]
