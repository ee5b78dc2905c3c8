"""The committer: one thread that writes the commands of many requests in one transaction.

It takes whatever is waiting, never waits for more (2 ms of waiting halve the throughput), commits,
and answers each. What fails is narrowed by halves: a command that fails alone, while others or known good data can
be written over the same connection, is at fault itself and refused; without such a witness nobody is, and all may
come again. What repeats the idempotency key of another command is settled after it, by what became of that.
"""

import asyncio
import queue
from collections.abc import Sequence
from time import time_ns

import structlog

from herald.outbox.acceptance.idempotency import Receipt, RequestKey
from herald.outbox.acceptance.submitted import Command, Outcome, answer
from herald.outbox.acceptance.writer import Writer
from herald.outbox.crash_points import reach
from herald.outbox.moves.accept import Acceptance
from herald.outbox.postgres.connections import connect_watched, reason
from herald.outbox.postgres.conviction import Convictions, convicts_nobody, is_away, kind_of, narrow, text_of
from herald.outbox.postgres.notify import Notifier
from herald.outbox.settings import Settings
from herald.outbox.threads import Thread
from herald.outbox.watched.api import ACCEPTED, COMMIT_SECONDS, NOT_COMMITTED, REPEATED
from herald.outbox.watched.life import came_by, living, waiting
from herald.outbox.watched.traces import TRACES

MAX_COMMANDS = 500  # in one transaction
STOP_TIMEOUT = 5.0  # seconds; who is not answered by then learns it from the closed connection
MAX_ROWS = 1000  # in one transaction, where commands are bulks; one command is never divided
MAX_BYTES = 4_194_304  # of data in one transaction: texts and statement are copies of it, five at a time (measured)
_log = structlog.get_logger()


class RefusedError(Exception):
    """A command that cannot be written though others can; the text says why."""


class UnavailableError(Exception):
    """The database cannot be reached or will not commit now; nothing is known to be stored."""


class Committer:
    """Writes what is submitted; `start` before the first `submit`, `stop` after the last."""

    def __init__(self, settings: Settings) -> None:
        self._writer = Writer(
            lambda: connect_watched(settings, "herald-committer", is_steady=True), ttl=settings.idempotency_ttl
        )
        self._commands: queue.SimpleQueue[Command | None] = queue.SimpleQueue()
        self._notifier = Notifier(lambda: connect_watched(settings, "herald-notifier"))
        self._thread = Thread(self._run, "committer")
        self._stopping = False
        self._convictions = Convictions()

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

        Raises RefusedError for what cannot be written though others can, UnavailableError when nothing can be,
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
        with living("committer"):
            while True:
                commands, last = self._take()
                if commands:
                    self._settle(commands)
                if last:
                    break
                came_by()
        self._writer.close()

    def _take(self) -> tuple[list[Command], bool]:
        taken: list[Command] = []
        rows = size = 0
        with waiting():
            command = self._commands.get()
        while command is not None:
            taken.append(command)
            rows += len(command.rows)
            size += command.size
            if len(taken) >= MAX_COMMANDS or rows >= MAX_ROWS or size >= MAX_BYTES:
                return taken, False
            try:
                command = self._commands.get_nowait()
            except queue.Empty:
                return taken, False
        return taken, True

    def _settle(self, commands: Sequence[Command]) -> None:
        reach("api.taken")
        unsettled = dict.fromkeys(commands)
        later: list[Command] = []

        def act(part: Sequence[Command]) -> None:
            later.extend(self._write(part))
            for one in part:
                del unsettled[one]

        try:
            found = narrow(commands, act, self._writer.probe)
        except Exception as error:  # noqa: BLE001 - whatever it was, every caller gets an answer
            _log.warning("commit_failed", commands=len(unsettled), reason=reason(error), exc_info=_trace(error))
            NOT_COMMITTED.inc(len(unsettled))
            _answer_all(list(unsettled), UnavailableError(reason(error)))
        else:
            NOT_COMMITTED.inc(len(found.excused) + len(found.convicted))
            answer([(one.item, UnavailableError(reason(one.error))) for one in found.excused])
            answer([(one.item, self._judged(one.error)) for one in found.convicted])
        if later:
            self._settle(later)

    def _write(self, commands: Sequence[Command]) -> list[Command]:
        """Commit and answer them; returns those whose key is first written in this very transaction."""
        began = time_ns()
        with COMMIT_SECONDS.time():
            outcomes = self._writer.write(commands)
        reach("api.committed")
        new = [one for one, outcome in zip(commands, outcomes, strict=True) if _is_new(outcome)]
        ACCEPTED.inc(sum(len(one.rows) for one in new))
        REPEATED.inc(sum(outcome is not None for outcome in outcomes) - len(new))
        answer([(one, outcome) for one, outcome in zip(commands, outcomes, strict=True) if outcome])
        reach("api.answered")
        if new:
            self._notifier.wake()
        _trace_commits(new, began)
        return [one for one, outcome in zip(commands, outcomes, strict=True) if not outcome]

    def _judged(self, error: Exception) -> Exception:
        """What a command at fault is answered; more than 20 a minute of one kind are no coincidence."""
        if not self._convictions.allows(error):
            _log.error("too_many_refused", kind=kind_of(error), reason=text_of(error))
            return UnavailableError(reason(error))
        _log.error("command_refused", reason=text_of(error), exc_info=error)
        return RefusedError(text_of(error))


def _trace_commits(new: Sequence[Command], began: int) -> None:
    if (spans := TRACES.spans) is None:
        return
    rows = sum(len(one.rows) for one in new)
    for one in new:
        spans.committed(one.rows[0].traceparent, [row.id for row in one.rows], began=began, rows=rows)


def _trace(error: Exception) -> Exception | None:
    """An outage is told by its reason; what nobody foresaw by its traceback as well."""
    return None if is_away(error) or convicts_nobody(error) else error


def _is_new(outcome: Outcome | None) -> bool:
    return isinstance(outcome, Receipt) and not outcome.is_replay


def _answer_all(commands: Sequence[Command], error: Exception) -> None:
    answer([(command, error) for command in commands])
