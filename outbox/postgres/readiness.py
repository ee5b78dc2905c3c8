"""Whether the database would serve now, asked over a connection of its own: those of the others may all be in use."""

import contextlib
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock

import structlog

from herald.outbox.postgres.connections import connect_watched, reason
from herald.outbox.postgres.driver import Connection, PostgresError, errors
from herald.outbox.postgres.statements import execute
from herald.outbox.settings import Settings

PATIENCE = 2.0  # seconds the database may take to answer
LATE = f"the database did not answer within {PATIENCE:g} s"
_log = structlog.get_logger()


class Readiness:
    """However many ask at once, the database is asked once, in a thread; a dead connection is replaced once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="readiness")
        self._lock = Lock()
        self._asking: Future[str | None] | None = None
        self._connection: Connection | None = None

    def ask(self) -> "Future[str | None]":
        """What the database lacks will be there, None where it is ready."""
        with self._lock:
            if self._asking is None or self._asking.done():
                self._asking = self._executor.submit(self._lacking)
            return self._asking

    def lacking(self) -> str | None:
        """The same, waited for."""
        try:
            return self.ask().result(PATIENCE)
        except TimeoutError:
            return LATE

    def close(self) -> None:
        """Ask no more."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        self._let_go()

    def _lacking(self) -> str | None:
        was_open = self._connection is not None
        try:
            self._look()
        except PostgresError as error:
            self._let_go()
            return self._lacking() if was_open else _why(error)
        return None

    def _look(self) -> None:
        if self._connection is None:
            self._connection = connect_watched(self._settings, "herald-readiness")
            self._connection.autocommit = True
        execute(self._connection, "SELECT FROM messages LIMIT 0")

    def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(PostgresError):
                connection.close()


def _why(error: PostgresError) -> str:
    """A server that answers says why it does not; where none is, no address is told to whoever asks."""
    if isinstance(error, errors.InsufficientPrivilege):
        return f"the database refuses: {reason(error)}"
    if isinstance(error, errors.ProgrammingError):
        return "the database has no tables: run `herald migrate`"
    _log.warning("database_unavailable", reason=reason(error))
    _, said, why = str(error).partition("FATAL:")
    return f"the database refuses: {why.strip()}" if said else "the database does not answer"
