"""How long a call may take, and when it is sent again."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from random import SystemRandom
from time import monotonic
from typing import NamedTuple

from herald_client.errors import UNAVAILABLE, HeraldError, NoAnswerError, problem

FIRST_PAUSE = 0.1  # seconds; each further one is twice as long
LONGEST_PAUSE = 5.0  # seconds; longer only where Retry-After says so
_CONFLICT = 409
_SUCCESS = range(200, 300)
_random = SystemRandom()


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Seconds that a whole call may take with its repetitions, and seconds of one attempt."""

    deadline: float = 30.0
    attempt: float = 10.0


class Answer(NamedTuple):
    """One, of whatever status."""

    status: int
    retry_after: str | None
    body: bytes


class Attempts:
    """The attempts at one call, from the first on."""

    def __init__(self, patience: Patience, idempotency_key: str | None) -> None:
        self._patience = patience
        self._key = idempotency_key
        self._end = monotonic() + patience.deadline
        self._longest = FIRST_PAUSE
        self._pause = 0.0
        self.answer = Answer(0, None, b"")

    def __iter__(self) -> Iterator[float]:
        """Seconds to wait before each attempt; ends with a success, which is `answer`."""
        while self.answer.status not in _SUCCESS:
            yield self._pause

    def timeout(self) -> float:
        """Seconds that an attempt may take that begins now."""
        return max(0.001, min(self._patience.attempt, self._end - monotonic()))

    def judge(self, outcome: Answer | str) -> None:
        """What became of an attempt; a text says why there is no answer.

        Raises HeraldError where another attempt is of no use, or would begin after the deadline.
        """
        if isinstance(outcome, Answer) and outcome.status in _SUCCESS:
            self.answer = outcome
            return
        error, is_final, wanted = self._error(outcome)
        self._pause = wanted + self._longest * _random.uniform(0.5, 1)  # those told the same date come apart
        if is_final or monotonic() + self._pause >= self._end:
            raise error
        self._longest = min(2 * self._longest, LONGEST_PAUSE)

    def _error(self, outcome: Answer | str) -> tuple[HeraldError, bool, float]:
        """The error, whether it stays one, and the seconds that Retry-After asks for."""
        if isinstance(outcome, str):
            return NoAnswerError(f"no answer: {outcome}", self._key), False, 0.0
        wanted = _seconds(outcome.retry_after)
        is_in_progress = outcome.status == _CONFLICT and wanted is not None  # the same key, handled elsewhere
        is_final = outcome.status not in UNAVAILABLE and not is_in_progress
        return problem(outcome.status, outcome.body, self._key), is_final, wanted or 0.0


def _seconds(retry_after: str | None) -> float | None:
    """Of a Retry-After, which is seconds or a date; None where it is neither."""
    if retry_after is None or retry_after.isdecimal():
        return None if retry_after is None else float(retry_after)
    try:
        date = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    return max(0.0, (date - datetime.now(UTC)).total_seconds()) if date.tzinfo else None
