"""What becomes of a delivery that failed: another try at a date, or the end."""

import random
from collections.abc import Callable

from herald.outbox.destination.policies import Policy
from herald.outbox.destination.retries import MOST_RETRY_AFTER
from herald.outbox.message.events import Code
from herald.outbox.message.payload import MAX_REASON, storable
from herald.outbox.moves.record import Kind, Outcome
from herald.pipeline.channel import DeliveryError, PermanentError, TemporaryError, UnknownOutcomeError
from herald.pipeline.deliver.attempt import Attempt
from herald.pipeline.deliver.lack import BELIEVED, DOUBTFUL, SETTINGS, Lack, lack_in, longest_wait

# Why an attempt is given back untried, beside what a claim says (outbox/moves/claim.py).
OUT_OF_TIME = "not tried: it waited for the one before it, or for its turn, until its lease was nearly over"
STOPPED = "not tried: the pipeline stopped"

Uniform = Callable[[float, float], float]


class RetryPolicy:
    """Exponential backoff, up to a cap, for so many attempts, as the policy says (outbox/destination/retries.py)."""

    def __init__(self, policy: Policy, *, uniform: Uniform = random.uniform) -> None:
        self._policy = policy
        self._uniform = uniform

    def after(self, error: BaseException, attempt: Attempt) -> Outcome:
        """The outcome of an attempt that raised `error`."""
        is_unknown, lack = isinstance(error, UnknownOutcomeError), lack_in(error)
        if lack is not None and not is_unknown and _is_believed(lack, attempt):
            return self._given_back(attempt, lack)
        if isinstance(error, PermanentError):
            return dead(attempt, reason_of(error), error.code)
        code: Code = error.code if isinstance(error, DeliveryError) else "handler_error"
        tries, most = attempt.number - attempt.uncounted, self._policy.retries.attempts
        if is_unknown and self._policy.is_held(unknowns=attempt.unknowns, tries=tries):
            return _outcome(attempt, "unknown", reason_of(error), code, is_fault=lack is None)
        is_fault = error.is_destination_fault if isinstance(error, TemporaryError) else lack is None
        if tries >= most:
            note = f" (attempt {tries} of {most})"
            return _outcome(attempt, "dead", reason_of(error, note=note), code, is_fault=is_fault)
        kind: Kind = "unknown" if is_unknown else "failed"
        asked = error.retry_after if isinstance(error, TemporaryError) else None
        wait = max(self.wait(tries), min(asked or 0.0, MOST_RETRY_AFTER))
        return _outcome(attempt, kind, reason_of(error), code, is_fault=is_fault, retry_in=wait)

    def _given_back(self, attempt: Attempt, lack: Lack) -> Outcome:
        longest = longest_wait(attempt.uncounted, lack.kind)
        what = lack.reason if lack.kind == SETTINGS else f"this machine lacks {lack.kind} ({lack.reason})"
        code: Code = "not_set_up" if lack.kind == SETTINGS else "machine_lacks"
        return postponed(attempt, storable(f"not tried: {what}"), code, wait=self._uniform(longest / 2, longest))

    def wait(self, attempt: int) -> float:
        """Seconds until the attempt after this one, counted from 1."""
        return self._uniform(*self._policy.retries.bounds(attempt))


def _is_believed(lack: Lack, attempt: Attempt) -> bool:
    return lack.kind not in DOUBTFUL or attempt.uncounted < BELIEVED


def dead(attempt: Attempt, reason: str, code: Code) -> Outcome:
    """Nothing more is tried, and the destination is not to blame."""
    return _outcome(attempt, "dead", storable(reason), code)


def postponed(attempt: Attempt, reason: str, code: Code, *, wait: float) -> Outcome:
    """Claimed and never tried: again in so many seconds, and the attempt does not count."""
    return _outcome(attempt, "postponed", reason, code, retry_in=wait)


def _outcome(
    attempt: Attempt, kind: Kind, reason: str, code: Code, *, is_fault: bool = False, retry_in: float | None = None
) -> Outcome:
    return Outcome(
        id=attempt.request.id,
        attempt=attempt.number,
        outcome=kind,
        reason=reason,
        code=code,
        retry_in=retry_in,
        destination=attempt.counted,
        is_fault=is_fault,
    )


def reason_of(error: BaseException, *, note: str = "") -> str:
    """`TypeName: text`, of at most 500 characters; what a channel foresaw gives its text alone."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - a broken __str__ must not cost a delivery thread
        text = "its text cannot be read"
    if not isinstance(error, DeliveryError):
        text = f"{type(error).__name__}: {text}"
    return storable(text, limit=MAX_REASON - len(note)) + note
