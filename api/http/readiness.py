"""Whether a request would be served now, asked over a connection of its own.

Where the pool's connections are all in use, the database is not at fault, and a load balancer that took this process
out for it would make matters worse.
"""

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor

import structlog

from herald.outbox.postgres.connections import connect_watched, reason
from herald.outbox.postgres.driver import PostgresError, errors
from herald.outbox.postgres.statements import execute
from herald.outbox.postgres.watch import WatchedConnection
from herald.outbox.settings import Settings

PATIENCE = 2.0  # seconds the database may take to answer
_log = structlog.get_logger()


class Readiness:
    """However many ask at once, the database is asked once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="readiness")
        self._connection: WatchedConnection | None = None
        self._asking: asyncio.Future[str | None] | None = None

    async def missing(self) -> str | None:
        """What the database lacks, None where it is ready."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.get_running_loop().run_in_executor(self._executor, self._ask)
        try:
            return await asyncio.wait_for(asyncio.shield(self._asking), PATIENCE)
        except TimeoutError:
            return f"the database did not answer within {PATIENCE:g} s"

    def close(self) -> None:
        """Ask no more."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        self._forget()

    def _ask(self) -> str | None:
        is_fresh = self._connection is None
        try:
            self._look()
        except errors.InsufficientPrivilege as error:
            return f"the database refuses: {reason(error)}"
        except errors.ProgrammingError:
            return "the database has no tables: run `herald migrate`"
        except PostgresError as error:
            self._forget()
            if not is_fresh:  # it may have been cut since it was used last
                return self._ask()
            _log.warning("database_unavailable", reason=reason(error))
            return _cause(error)
        return None

    def _look(self) -> None:
        if self._connection is None:
            self._connection = connect_watched(self._settings, "herald-readiness")
            self._connection.autocommit = True
        execute(self._connection, "SELECT FROM messages LIMIT 0")

    def _forget(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(PostgresError):
                self._connection.close()
            self._connection = None


def _cause(error: PostgresError) -> str:
    """A server that answers says why it does not; where none is, no address is told to whoever asks."""
    _, said, why = str(error).partition("FATAL:")
    return f"the database refuses: {why.strip()}" if said else "the database does not answer"
