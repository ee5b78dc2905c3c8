"""A duty's batch that fails for one message's sake: the others go on, and that one ends with the error's text.

What cannot even be ended is left alone for a minute, by name. Where nobody is convicted the duty fails, and waits.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, TypeVar

import structlog

from herald.outbox.moves.accept import accept, make_acceptance
from herald.outbox.moves.door import REJECTED, moving
from herald.outbox.postgres.conviction import (
    TRIES,
    TRY_PAUSE,
    Convictions,
    Narrowed,
    Suspect,
    is_away,
    narrow,
    text_of,
)
from herald.outbox.postgres.driver import Connection, PostgresError
from herald.outbox.postgres.statements import execute
from herald.outbox.registry import TOPICS

LEFT_ALONE = 60.0  # seconds
MOST_REASON = 500  # characters of an error that a message ends with
# SQLSTATE classes of what passes by itself, as a lock or a full disk: in halves, each would wait for it again
PASSES = ("08", "25", "26", "40", "53", "55", "57", "58")
Result = TypeVar("Result")
_log = structlog.get_logger()

END = moving(
    """
decided AS MATERIALIZED (
    SELECT id, 'message.rejected' AS type,
           jsonb_build_object('reason', %(reason)s::text, 'code', 'convicted') AS payload,
           NULL AS publish_to, 0 AS place
    FROM messages WHERE id = %(id)s::uuid AND is_unfinished(status)
    FOR NO KEY UPDATE SKIP LOCKED
)""",
    REJECTED,
)

# What a duty's statement chooses, without those that are left alone, and only these where they are named.
CHOSEN = """
SELECT * FROM ({query}) AS chosen
WHERE (%(only)s::uuid[] IS NULL OR id = ANY (%(only)s::uuid[])) AND id <> ALL (%(left_alone)s::uuid[])
"""


def chosen(query: str) -> str:
    """The query of a batch, so that it can be narrowed; its values are `Batch.values` besides its own."""
    return CHOSEN.format(query=query)


@dataclass(frozen=True, slots=True)
class Batch:
    """Which messages of those that a duty finds: none that is left alone, and only some where they are named."""

    left_alone: Sequence[str] = ()
    only: Sequence[str] | None = None

    @property
    def values(self) -> dict[str, Any]:
        """As `CHOSEN` takes them."""
        return {"left_alone": list(self.left_alone), "only": None if self.only is None else list(self.only)}


@dataclass(slots=True)
class _Failure:
    times: int = 0
    at: float = field(default=float("-inf"))


class Around:
    """Remembers who was left alone, and who failed alone how often."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._left_until: dict[str, float] = {}
        self._failures: dict[str, _Failure] = {}
        self._convictions, self._tracebacks = Convictions(clock), Convictions(clock)

    def act(
        self,
        connection: Connection,
        find: Callable[[Batch], Sequence[str]],
        act: Callable[[Batch], Result],
    ) -> list[Result]:
        """Act on all that is found, around those for whose sake it fails; what each part gave.

        `act` is one statement. In a transaction of the caller's nothing is narrowed: it could not go on. Raises
        what is no message's fault.
        """
        left_alone = self._left_alone()
        try:
            return [act(Batch(left_alone))]
        except Exception as error:
            if not connection.autocommit or _passes(error):
                raise
        found = narrow(find(Batch(left_alone)), lambda some: act(Batch(left_alone, some)), lambda: _probe(connection))
        for suspect in [*found.convicted, *self._thrice(found)]:
            self._end(connection, suspect)
        return found.done

    def _left_alone(self) -> list[str]:
        now = self._clock()
        self._left_until = {one: until for one, until in list(self._left_until.items()) if until > now}
        return list(self._left_until)

    def _thrice(self, found: Narrowed[str, Result]) -> list[Suspect[str]]:
        """Of those that were excused, who has failed three times beside others that did not. Raises without these."""
        if found.excused and not any(found.done):
            raise found.excused[0].error
        over: list[Suspect[str]] = []
        for suspect in found.excused:
            failure = self._failures.setdefault(suspect.item, _Failure())
            failure.times, failure.at = failure.times + 1, self._clock()
            self._left_until[suspect.item] = self._clock() + TRY_PAUSE
            if failure.times >= TRIES:
                over.append(suspect)
        recent = self._clock() - LEFT_ALONE
        self._failures = {one: its for one, its in list(self._failures.items()) if its.at > recent}
        return over

    def _end(self, connection: Connection, suspect: Suspect[str]) -> None:
        reason = text_of(suspect.error).replace("\0", "")[:MOST_REASON]
        traceback = suspect.error if self._tracebacks.allows(suspect.error) else None
        is_ended = self._convictions.allows(suspect.error) and _is_ended(connection, suspect.item, reason)
        self._failures.pop(suspect.item, None)
        if not is_ended:
            self._left_until[suspect.item] = self._clock() + LEFT_ALONE
        event = "message_ended" if is_ended else "message_left_alone"
        _log.error(event, id=suspect.item, reason=reason, exc_info=traceback)


AROUND = Around()  # one for all duties: who is left alone is so whatever finds it


def _is_ended(connection: Connection, message: str, reason: str) -> bool:
    try:
        return execute(connection, END, {"id": message, "reason": reason}) == 1
    except PostgresError as error:
        if is_away(error):
            raise
        return False


def write_probe(connection: Connection) -> None:
    """Accept a message that is as it should be, and end it; whoever calls undoes it. Raises PostgresError."""
    good = make_acceptance(next(iter(TOPICS)), None, b"{}")
    accept(connection, [good])
    execute(connection, END, {"id": str(good.id), "reason": "a probe"})


def _probe(connection: Connection) -> None:
    execute(connection, "BEGIN")
    try:
        write_probe(connection)
    finally:
        execute(connection, "ROLLBACK")


def _passes(error: Exception) -> bool:
    """Whether to wait instead of asking whose fault it is."""
    if isinstance(error, MemoryError | OSError):
        return True
    return is_away(error) or (isinstance(error, PostgresError) and (error.pgcode or "").startswith(PASSES))
