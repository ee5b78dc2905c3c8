"""A command that waits for its answer, in the event loop that submitted it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog

from herald.outbox.acceptance.idempotency import Receipt, RequestKey
from herald.outbox.moves.accept import Acceptance, groups_of

Outcome = Receipt | Exception
_log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class Command:
    """Rows to be accepted together or not at all; compared by identity."""

    rows: Sequence[Acceptance]
    request_key: RequestKey | None
    answer: "asyncio.Future[Receipt]"
    loop: asyncio.AbstractEventLoop

    @property
    def ids(self) -> list[UUID]:
        """What the answer names: its rows, in order, and then their groups."""
        return [*(row.id for row in self.rows), *groups_of(self.rows)]

    @property
    def size(self) -> int:
        """Bytes of data."""
        return sum(row.size for row in self.rows)


def answer(outcomes: Sequence[tuple[Command, Outcome]]) -> None:
    """Wake every loop once, whatever the number of commands it waits for."""
    for loop in {command.loop for command, _ in outcomes}:
        answers = [(command.answer, outcome) for command, outcome in outcomes if command.loop is loop]
        try:
            loop.call_soon_threadsafe(_resolve, answers)
        except RuntimeError:
            _log.warning("answer_undelivered", commands=len(answers), reason="the event loop is closed")


def _resolve(answers: list[tuple["asyncio.Future[Receipt]", Outcome]]) -> None:
    for future, outcome in answers:
        if future.done():
            continue
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
