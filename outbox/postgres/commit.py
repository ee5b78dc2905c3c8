"""What became of a COMMIT: its answer, or the truth from the database when no answer came.

`pg_xact_status` alone is not the truth: a server that crashed, or a standby that took over, gives the ids of
transactions that it has lost to others. Only with its row in the log was it this one that committed.
"""

import contextlib
import threading
import time
from collections.abc import Callable
from uuid import UUID

from herald.outbox.postgres.driver import Connection, OperationalError, PostgresError
from herald.outbox.postgres.statements import execute, fetch_value
from herald.outbox.postgres.watch import WatchedConnection

PATIENCE = 5.0  # seconds until an unanswered COMMIT counts as unknown
PAUSE = 0.1  # seconds between two looks
NOT_REPLICATED = "might not have been replicated"  # PostgreSQL's warning when a synchronous wait is cancelled
_WROTE = (
    "SELECT EXISTS (SELECT FROM outbox WHERE stream_id = %s::uuid AND version = 1 AND transaction_id = %s::text::xid8)"
)
_never = threading.Event()


class CommitUnknownError(Exception):
    """COMMIT was sent and not answered; `transaction_id` is the xid8 to ask about."""

    def __init__(self, transaction_id: int, reason: str) -> None:
        super().__init__(f"COMMIT was not answered: {reason}")
        self.transaction_id = transaction_id


class NotReplicatedError(Exception):
    """Committed here, but the wait for the synchronous standby was cancelled: a fail-over may lose it."""


def commit(connection: Connection, transaction_id: int) -> None:
    """Commit; returning means that it is on disk, and on the synchronous standby where there is one.

    Raises CommitUnknownError when the connection breaks, NotReplicatedError when the standby's part is missing.
    """
    connection.notices.clear()
    try:
        connection.commit()
    except OperationalError as error:
        if connection.closed or error.pgcode is None or error.pgcode.startswith("57P"):
            raise CommitUnknownError(transaction_id, str(error).strip()) from error
        raise
    if any(NOT_REPLICATED in notice for notice in connection.notices):
        message = "the transaction is committed locally only: the synchronous standby did not confirm it"
        raise NotReplicatedError(message)


def committed_after_all(
    open_connection: Callable[[], Connection], unanswered: CommitUnknownError, stream_id: UUID
) -> bool:
    """Ask a new connection, for 5 seconds at most, about the transaction that began this stream.

    False when it was rolled back, was lost, or cannot be told.
    """
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        status = _status(open_connection, unanswered.transaction_id, stream_id)
        if status in {"committed", "aborted"}:
            return status == "committed"
        _never.wait(PAUSE)
    return False


def _status(open_connection: Callable[[], Connection], transaction_id: int, stream_id: UUID) -> str | None:
    try:
        with contextlib.closing(open_connection()) as connection:
            if isinstance(connection, WatchedConnection):
                connection.limit = PATIENCE
            status = fetch_value(connection, "SELECT pg_xact_status(%s::text::xid8)", str(transaction_id))
            # a statement of its own: the one before may have begun before the commit that it reports
            is_stored = fetch_value(connection, _WROTE, str(stream_id), str(transaction_id))
            # a synchronous standby that confirms this has all that was committed before
            execute(connection, "SELECT pg_logical_emit_message(true, 'herald', '')")
            commit(connection, transaction_id)
    except (PostgresError, CommitUnknownError, NotReplicatedError):
        return None
    return settled(status, is_stored=is_stored)


def settled(status: str | None, *, is_stored: bool) -> str | None:
    """What became of a transaction whose id has this status, and whose row is in the log or not."""
    return "aborted" if status == "committed" and not is_stored else status
