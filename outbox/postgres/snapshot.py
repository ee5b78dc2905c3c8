"""PostgreSQL's snapshots, read outside the database.

https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-SNAPSHOT
"""

NOTHING = "1:1:"  # shows nothing: a snapshot of before everything


class Snapshot:
    """The text form `xmin:xmax:xip`, read once and asked often."""

    __slots__ = ("_running", "_xmax", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        _, xmax, running = text.split(":")
        self._xmax = int(xmax)
        self._running = frozenset(int(one) for one in running.split(",") if one)

    def shows(self, transaction_id: int) -> bool:
        """As `pg_visible_in_snapshot` says it of a transaction that was committed."""
        return transaction_id < self._xmax and transaction_id not in self._running
