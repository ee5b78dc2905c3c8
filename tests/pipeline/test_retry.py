"""What becomes of a delivery that failed."""

import pytest

from pipeline.delivery import PermanentError, TemporaryError
from pipeline.retry import MAX_REASON, RetryPolicy
from tests.pipeline.records import new_id

MESSAGE = new_id()


def make_policy(*, cap: float = 3600.0, max_attempts: int = 8) -> RetryPolicy:
    """Its random numbers are always the largest."""
    return RetryPolicy(base=1.0, cap=cap, max_attempts=max_attempts, uniform=lambda _low, high: high)


@pytest.mark.parametrize(("attempt", "seconds"), [(1, 1), (2, 2), (3, 4), (8, 128), (13, 3600), (5000, 3600)])
def test_the_longest_wait_doubles_with_each_attempt_up_to_the_cap(attempt: int, seconds: float) -> None:
    assert make_policy().wait(attempt) == seconds


def test_the_wait_is_drawn_from_zero_on() -> None:
    assert RetryPolicy(base=1.0, cap=60.0, max_attempts=8, uniform=lambda low, _high: low).wait(5) == 0.0


def test_a_temporary_error_is_tried_again() -> None:
    outcome = make_policy().after(TemporaryError("mailbox full"), message=MESSAGE, attempt=2)

    assert (outcome.outcome, outcome.reason, outcome.retry_in) == ("failed", "TemporaryError: mailbox full", 2.0)


def test_an_error_nobody_foresaw_is_tried_again() -> None:
    outcome = make_policy().after(ZeroDivisionError("by zero"), message=MESSAGE, attempt=1)

    assert (outcome.outcome, outcome.reason) == ("failed", "ZeroDivisionError: by zero")


def test_a_permanent_error_is_the_end() -> None:
    outcome = make_policy().after(PermanentError("no such user"), message=MESSAGE, attempt=1)

    assert (outcome.outcome, outcome.reason, outcome.retry_in) == ("dead", "no such user", None)


def test_the_last_attempt_is_the_end() -> None:
    outcome = make_policy(max_attempts=3).after(OSError("down"), message=MESSAGE, attempt=3)

    assert (outcome.outcome, outcome.reason) == ("dead", "OSError: down (attempt 3 of 3)")


def test_what_was_never_tried_does_not_die_of_its_attempts() -> None:
    assert make_policy(max_attempts=3).given_back(MESSAGE, 9, "stopped").outcome == "failed"


def test_a_reason_is_made_storable() -> None:
    outcome = make_policy().after(OSError("a\0b\ud800" + "x" * 1000), message=MESSAGE, attempt=8)

    reason = outcome.reason or ""
    assert reason.startswith("OSError: a\N{REPLACEMENT CHARACTER}b?xxx")
    assert reason.endswith("… (attempt 8 of 8)")
    assert len(reason) == MAX_REASON


def test_an_error_whose_text_cannot_be_read_still_has_an_outcome() -> None:
    class UnreadableError(Exception):
        def __str__(self) -> str:
            raise ValueError

    outcome = make_policy().after(UnreadableError(), message=MESSAGE, attempt=1)

    assert outcome.reason == "UnreadableError: its text cannot be read"
