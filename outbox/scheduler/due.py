"""Messages whose date has come: a retry, or a lease that ended without an outcome."""

from psycopg2.extensions import connection as Connection  # noqa: N812 - a class with a lower-case name

from outbox.scheduler.requests import Choice, request_again

BATCH = 1_000  # messages requested again in one statement
# a subquery, or the volatile clock would keep PostgreSQL from using the index
DUE = Choice("due_at <= (SELECT clock_timestamp())", (), "retry")


def request_due(connection: Connection, *, max_attempts: int) -> int:
    """Request one batch of what is due; returns how many."""
    return request_again(connection, DUE, limit=BATCH, max_attempts=max_attempts)
