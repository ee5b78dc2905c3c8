"""The two connections of a rebuild, the locks it holds, and how it is stopped in the middle of a long statement."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

from herald.outbox.postgres.connections import connect
from herald.outbox.postgres.driver import Connection, errors
from herald.outbox.postgres.locks import BOOKS, UPGRADE, try_lock
from herald.outbox.settings import Settings

LONGEST_STATEMENT = 3600.0  # seconds: an index, or the comparison, of a large partition
LOCK_PATIENCE = 10.0  # seconds that another rebuild, the closing of the books or an upgrade may still take
LOCK_POLL = 0.2  # seconds
CANCEL_INTERVAL = 0.5  # seconds
_NAMES = {BOOKS: "another rebuild or the closing of the books", UPGRADE: "an upgrade of the database"}


class RefusedError(Exception):
    """A rebuild cannot be done as things are; the text says why."""


class StoppedError(Exception):
    """It was told to stop."""


@dataclass(frozen=True)
class Session:
    """`writer` holds the locks and makes every change, so that whoever loses it can change nothing any more."""

    writer: Connection
    reader: Connection
    stop: threading.Event
    is_cleaning: threading.Event = field(default_factory=threading.Event)

    def check(self) -> None:
        """Between two steps. Raises StoppedError."""
        if self.stop.is_set() and not self.is_cleaning.is_set():
            raise StoppedError

    def wait(self, seconds: float) -> None:
        """Raises StoppedError."""
        self.stop.wait(seconds)
        self.check()


@contextmanager
def opened(settings: Settings, stop: threading.Event) -> Iterator[Session]:
    """Both connections, with the locks. Raises PostgresError, RefusedError, StoppedError."""
    patient = settings.model_copy(update={"statement_timeout": LONGEST_STATEMENT})
    with (
        closing(connect(patient, "herald-rebuild")) as writer,
        closing(connect(patient, "herald-rebuild-reader")) as reader,
    ):
        reader.set_session(isolation_level="REPEATABLE READ", readonly=True)
        writer.autocommit = True
        session = Session(writer, reader, stop)
        for key in (BOOKS, UPGRADE):
            _lock(session, key)
        yield session


def _lock(session: Session, key: int) -> None:
    deadline = time.monotonic() + LOCK_PATIENCE
    while not try_lock(session.writer, key):
        if time.monotonic() > deadline:
            message = f"{_NAMES[key]} is under way: try again when it is done"
            raise RefusedError(message)
        session.wait(LOCK_POLL)


def run_stoppable(session: Session, work: Callable[[], None]) -> None:
    """Do it in a thread, so that this one answers signals: once `stop` is set, what the server is at is cancelled.

    Raises whatever `work` raises, and StoppedError instead of the cancelled statement's error.
    """
    with ThreadPoolExecutor(1, "rebuild") as pool:
        done = pool.submit(work)
        while not wait([done], CANCEL_INTERVAL).done:
            if session.stop.is_set() and not session.is_cleaning.is_set():
                session.writer.cancel()
                session.reader.cancel()
    try:
        done.result()
    except errors.QueryCanceled as error:
        if session.stop.is_set():
            raise StoppedError from error
        raise
