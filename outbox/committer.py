"""The committer: one thread that writes the commands of many requests in one transaction.

It takes whatever is waiting, never waits for more (2 ms of waiting halve the throughput), commits,
and answers each. What fails on its data is split in halves until the one bad command stands alone.
What repeats the idempotency key of another command is settled after it, by what became of that.
"""

import asyncio
import queue
import threading
from collections.abc import Sequence

import structlog

from outbox.acceptance import Acceptance
from outbox.command import Command, Outcome, answer
from outbox.crash_points import reach
from outbox.database import connect_watched, is_data_error, reason
from outbox.idempotency import Receipt, RequestKey
from outbox.notifier import Notifier
from outbox.settings import Settings
from outbox.writer import Writer

MAX_COMMANDS = 500  # in one transaction
STOP_TIMEOUT = 5.0  # seconds; who is not answered by then learns it from the closed connection
MAX_ROWS = 1000  # in one transaction, where commands are bulks; one command is never divided
_log = structlog.get_logger()


class RefusedError(Exception):
    """PostgreSQL refuses this command's data, now and always; the text is its reason."""


class UnavailableError(Exception):
    """The database cannot be reached or will not commit now; nothing is known to be stored."""


class Committer:
    """Writes what is submitted; `start` before the first `submit`, `stop` after the last."""

    def __init__(self, settings: Settings) -> None:
        self._writer = Writer(lambda: connect_watched(settings, "herald-committer"), ttl=settings.idempotency_ttl)
        self._commands: queue.SimpleQueue[Command | None] = queue.SimpleQueue()
        self._notifier = Notifier(lambda: connect_watched(settings, "herald-notifier"))
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

    async def submit(self, acceptances: Sequence[Acceptance], request_key: RequestKey | None = None) -> Receipt:
        """Return once all of them are committed, all or none; a repeated request gets its first receipt.

        Raises RefusedError for data that PostgreSQL refuses, UnavailableError when it is away,
        KeyInUseError and KeyReusedError.
        """
        if not self.is_alive:
            message = "the committer is not running"
            raise UnavailableError(message)
        loop = asyncio.get_running_loop()
        command = Command(acceptances, request_key, loop.create_future(), loop)
        self._commands.put(command)
        return await command.answer

    def _run(self) -> None:
        while True:
            commands, last = self._take()
            if commands:
                self._settle(commands)
            if last:
                break
        self._writer.close()

    def _take(self) -> tuple[list[Command], bool]:
        taken: list[Command] = []
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

    def _settle(self, commands: list[Command]) -> None:
        reach("api.taken")
        try:
            outcomes = self._writer.write(commands)
        except Exception as error:  # noqa: BLE001 - whatever it was, every caller gets an answer
            self._settle_failed(commands, error)
            return
        reach("api.committed")
        answer([(one, outcome) for one, outcome in zip(commands, outcomes, strict=True) if outcome])
        reach("api.answered")
        if any(_is_new(outcome) for outcome in outcomes):
            self._notifier.wake()
        if later := [one for one, outcome in zip(commands, outcomes, strict=True) if not outcome]:
            self._settle(later)

    def _settle_failed(self, commands: list[Command], error: Exception) -> None:
        if not is_data_error(error):
            _log.warning("commit_failed", commands=len(commands), reason=reason(error))
            _answer_all(commands, UnavailableError(reason(error)))
            return
        if len(commands) == 1:
            _answer_all(commands, RefusedError(reason(error)))
            return
        middle = len(commands) // 2
        self._settle(commands[:middle])
        self._settle(commands[middle:])


def _is_new(outcome: Outcome | None) -> bool:
    return isinstance(outcome, Receipt) and not outcome.is_replay


def _answer_all(commands: list[Command], error: Exception) -> None:
    answer([(command, error) for command in commands])
