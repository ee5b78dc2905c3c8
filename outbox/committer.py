"""The committer: one thread that writes the commands of many requests in one transaction.

It takes whatever is waiting, never waits for more (2 ms of waiting halve the throughput), commits,
and answers each. What fails on its data is split in halves until the one bad command stands alone.
"""

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psycopg2
import structlog
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class with a lower-case name

from outbox.acceptance import Acceptance, accept
from outbox.database import connect, is_data_error, is_outage, reason
from outbox.notifier import Notifier
from outbox.settings import Settings
from outbox.verdict import CommitUnknownError, commit, committed_after_all

MAX_COMMANDS = 500  # in one transaction
STOP_TIMEOUT = 5.0  # seconds; who is not answered by then learns it from the closed connection
MAX_ROWS = 1000  # in one transaction, where commands are bulks; one command is never divided
_log = structlog.get_logger()


class RefusedError(Exception):
    """PostgreSQL refuses this command's data, now and always; the text is its reason."""


class UnavailableError(Exception):
    """The database cannot be reached or will not commit now; nothing is known to be stored."""


@dataclass(slots=True)
class _Command:
    rows: Sequence[Acceptance]
    answer: "asyncio.Future[None]"
    loop: asyncio.AbstractEventLoop


class Committer:
    """Writes what is submitted; `start` before the first `submit`, `stop` after the last."""

    def __init__(self, settings: Settings) -> None:
        self._open: Callable[[], Connection] = lambda: connect(settings, "herald-committer")
        self._connection: Connection | None = None
        self._commands: queue.SimpleQueue[_Command | None] = queue.SimpleQueue()
        self._notifier = Notifier(lambda: connect(settings, "herald-notifier"))
        self._thread = threading.Thread(target=self._run, name="committer", daemon=True)
        self._stopping = False

    def start(self) -> None:
        """Start the threads; the database may still be away."""
        self._notifier.start()
        self._thread.start()

    def stop(self) -> None:
        """Write what was submitted, send the last notification and end; waits 5 seconds at most for each."""
        self._stopping = True
        self._commands.put(None)
        self._thread.join(STOP_TIMEOUT)
        self._notifier.stop()

    @property
    def is_alive(self) -> bool:
        """Whether submitted commands are being written."""
        return self._thread.is_alive() and not self._stopping

    async def submit(self, acceptances: Sequence[Acceptance]) -> None:
        """Return once all of them are committed, all or none.

        Raises RefusedError for data that PostgreSQL refuses, UnavailableError when it is away.
        """
        if not self.is_alive:
            message = "the committer is not running"
            raise UnavailableError(message)
        loop = asyncio.get_running_loop()
        command = _Command(acceptances, loop.create_future(), loop)
        self._commands.put(command)
        await command.answer

    def _run(self) -> None:
        while True:
            commands, last = self._take()
            if commands:
                self._settle(commands)
            if last:
                break
        if self._connection is not None:
            self._connection.close()

    def _take(self) -> tuple[list[_Command], bool]:
        taken: list[_Command] = []
        rows = 0
        command = self._commands.get()
        while command is not None:
            taken.append(command)
            rows += len(command.rows)
            if len(taken) >= MAX_COMMANDS or rows >= MAX_ROWS:
                return taken, False
            try:
                command = self._commands.get_nowait()
            except queue.Empty:
                return taken, False
        return taken, True

    def _settle(self, commands: list[_Command]) -> None:
        try:
            self._write([row for command in commands for row in command.rows])
        except Exception as error:  # noqa: BLE001 - whatever it was, every caller gets an answer
            self._settle_failed(commands, error)
            return
        _answer(commands, None)
        self._notifier.wake()

    def _settle_failed(self, commands: list[_Command], error: Exception) -> None:
        if not is_data_error(error):
            _log.warning("commit_failed", commands=len(commands), reason=reason(error))
            _answer(commands, UnavailableError(reason(error)))
            return
        if len(commands) == 1:
            _answer(commands, RefusedError(reason(error)))
            return
        middle = len(commands) // 2
        self._settle(commands[:middle])
        self._settle(commands[middle:])

    def _write(self, rows: Sequence[Acceptance]) -> None:
        """One transaction; a connection that turns out to be dead is replaced once."""
        is_fresh = self._connection is None
        try:
            self._write_once(rows)
        except CommitUnknownError as unanswered:
            self._connection = None
            if not committed_after_all(self._open, unanswered):
                raise
        except psycopg2.Error as error:
            self._give_back()
            if is_fresh or not is_outage(error) or self._connection is not None:
                raise
            self._write_once(rows)

    def _write_once(self, rows: Sequence[Acceptance]) -> None:
        if self._connection is None:
            self._connection = self._open()
        transaction_id = accept(self._connection, rows)
        commit(self._connection, transaction_id)

    def _give_back(self) -> None:
        """Roll back, or forget the connection when that fails too."""
        try:
            if self._connection is not None:
                self._connection.rollback()
        except psycopg2.Error:
            self._connection = None


def _answer(commands: list[_Command], error: Exception | None) -> None:
    for loop in {command.loop for command in commands}:
        futures = [command.answer for command in commands if command.loop is loop]
        try:
            loop.call_soon_threadsafe(_resolve, futures, error)
        except RuntimeError:
            _log.warning("answer_undelivered", commands=len(futures), reason="the event loop is closed")


def _resolve(futures: list["asyncio.Future[None]"], error: Exception | None) -> None:
    for future in futures:
        if future.done():
            continue
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
