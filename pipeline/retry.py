"""What becomes of a delivery that failed: another try at a date, or the end."""

import random
from collections.abc import Callable
from uuid import UUID

from outbox.attempts import Outcome
from pipeline.delivery import PermanentError

MAX_REASON = 500  # characters

Uniform = Callable[[float, float], float]


class RetryPolicy:
    """Exponential backoff with full jitter, up to `cap` seconds, for at most `max_attempts` attempts.

    Full jitter, so that what failed together is not tried again together.
    """

    def __init__(self, *, base: float, cap: float, max_attempts: int, uniform: Uniform = random.uniform) -> None:
        self._base = base
        self._cap = cap
        self._max_attempts = max_attempts
        self._uniform = uniform

    def after(self, error: BaseException, *, message: UUID, attempt: int) -> Outcome:
        """The outcome of an attempt (counted from 1) that raised `error`."""
        reason = reason_of(error)
        if isinstance(error, PermanentError):
            return dead(message, attempt, reason)
        if attempt >= self._max_attempts:
            return dead(message, attempt, reason_of(error, note=f" (attempt {attempt} of {self._max_attempts})"))
        return Outcome(id=message, attempt=attempt, outcome="failed", reason=reason, retry_in=self.wait(attempt))

    def given_back(self, message: UUID, attempt: int, reason: str) -> Outcome:
        """An attempt that was claimed but never tried: again soon, however many attempts there were."""
        wait = self._uniform(0, self._base)
        return Outcome(id=message, attempt=attempt, outcome="failed", reason=reason, retry_in=wait)

    def wait(self, attempt: int) -> float:
        """Seconds until the attempt after this one."""
        exponent = min(attempt - 1, 60)  # 2.0 ** 1024 overflows
        return self._uniform(0, min(self._cap, self._base * 2.0**exponent))


def dead(message: UUID, attempt: int, reason: str) -> Outcome:
    """Nothing more is tried."""
    return Outcome(id=message, attempt=attempt, outcome="dead", reason=storable(reason))


def reason_of(error: BaseException, *, note: str = "") -> str:
    """`TypeName: text`, of at most 500 characters; a foreseen end gives its text alone."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - a broken __str__ must not cost a delivery thread
        text = "its text cannot be read"
    if not isinstance(error, PermanentError):
        text = f"{type(error).__name__}: {text}"
    return storable(text, limit=MAX_REASON - len(note)) + note


def storable(text: str, *, limit: int = MAX_REASON) -> str:
    """What PostgreSQL takes, shortened: a provider's error may quote any bytes."""
    clean = text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()
    return clean if len(clean) <= limit else f"{clean[: limit - 1]}…"
