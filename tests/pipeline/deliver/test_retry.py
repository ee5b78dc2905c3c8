"""What becomes of a delivery that failed."""

from errno import EMFILE
from typing import Any

import pytest

from herald.outbox.destination.policies import policy
from herald.outbox.message.payload import MAX_REASON
from herald.outbox.settings import ChannelPolicy
from herald.pipeline.channel import NotSetUpError, PermanentError, TemporaryError, UnknownOutcomeError
from herald.pipeline.deliver.attempt import Attempt
from herald.pipeline.deliver.retry import RetryPolicy, Uniform, postponed
from tests.pipeline.parts import make_request, settings


def make_policy(*, uniform: Uniform = lambda _low, high: high, **own: Any) -> RetryPolicy:
    """Its random numbers are always the largest."""
    found = settings(max_attempts=8, channels={"webhook": ChannelPolicy(**own)})
    return RetryPolicy(policy(found, "webhook"), uniform=uniform)


def attempt(number: int, *, uncounted: int = 0, unknowns: int = 0) -> Attempt:
    """The attempt of that number, to a destination that is counted."""
    return Attempt(make_request(), number, 0.0, destination="webhook:host", uncounted=uncounted, unknowns=unknowns)


@pytest.mark.parametrize(
    ("attempt", "seconds"), [(1, 1), (2, 2), (3, 4), (8, 128), (13, 4096), (14, 7200), (5000, 7200)]
)
def test_the_longest_wait_doubles_with_each_attempt_up_to_the_cap(attempt: int, seconds: float) -> None:
    assert make_policy().wait(attempt) == seconds


def test_half_of_the_wait_is_certain() -> None:
    assert make_policy(uniform=lambda low, _high: low).wait(5) == 8.0


def test_a_temporary_error_is_tried_again() -> None:
    outcome = make_policy().after(TemporaryError("mailbox full"), attempt(2))

    assert (outcome.outcome, outcome.reason, outcome.retry_in) == ("failed", "mailbox full", 2.0)


def test_an_error_nobody_foresaw_is_tried_again() -> None:
    outcome = make_policy().after(ZeroDivisionError("by zero"), attempt(1))

    assert (outcome.outcome, outcome.reason) == ("failed", "ZeroDivisionError: by zero")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (TemporaryError("full"), "failed"),
        (TemporaryError("HTTP 503", code="http_status"), "http_status"),
        (PermanentError("gone"), "refused"),
        (UnknownOutcomeError("cut off"), "no_answer"),
        (ZeroDivisionError("by zero"), "handler_error"),
        (NotSetUpError("no such channel here"), "not_set_up"),
        (OSError(EMFILE, "too many open files"), "machine_lacks"),
    ],
)
def test_a_program_can_tell_failures_apart(error: Exception, code: str) -> None:
    assert make_policy().after(error, attempt(1)).code == code


def test_an_error_of_a_channels_own_that_tells_its_parents_nothing_has_their_code() -> None:
    class NoSuchUserError(PermanentError):
        def __init__(self, user: str) -> None:
            Exception.__init__(self, f"no user {user}")

    outcome = make_policy().after(NoSuchUserError("ada"), attempt(1))

    assert (outcome.outcome, outcome.reason, outcome.code) == ("dead", "no user ada", "refused")


def test_a_permanent_error_is_the_end() -> None:
    outcome = make_policy().after(PermanentError("no such user"), attempt(1))

    assert (outcome.outcome, outcome.reason, outcome.retry_in) == ("dead", "no such user", None)


def test_the_last_attempt_is_the_end() -> None:
    outcome = make_policy(max_attempts=3).after(OSError("down"), attempt(3))

    assert (outcome.outcome, outcome.reason) == ("dead", "OSError: down (attempt 3 of 3)")


def test_what_was_never_tried_does_not_die_of_its_attempts() -> None:
    assert postponed(attempt(9), "not tried", "stopped", wait=0.0).outcome == "postponed"


def test_attempts_that_do_not_count_are_not_counted() -> None:
    assert make_policy(max_attempts=3).after(OSError("down"), attempt(4, uncounted=2)).outcome == "failed"
    assert make_policy(max_attempts=3).after(OSError("down"), attempt(5, uncounted=2)).outcome == "dead"


def test_a_destination_that_asks_for_time_gets_it() -> None:
    outcome = make_policy().after(TemporaryError("HTTP 429", retry_after=90.0), attempt(1))

    assert outcome.retry_in == 90.0


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [(7_201.0, 7_201.0), (86_400.0, 86_400.0), (315_360_000.0, 86_400.0), (float("inf"), 86_400.0), (0.0, 1.0)],
)
def test_a_destination_gets_more_than_the_cap_and_a_day_at_most(asked: float, seconds: float) -> None:
    outcome = make_policy().after(TemporaryError("HTTP 503", retry_after=asked), attempt(1))

    assert outcome.retry_in == seconds


@pytest.mark.parametrize(("unknown", "retry_in"), [("retry", 1.0), ("hold", None)])
def test_an_unknown_outcome_is_repeated_or_held_as_the_channel_says(unknown: str, retry_in: float | None) -> None:
    outcome = make_policy(unknown=unknown).after(UnknownOutcomeError("cut off"), attempt(1))

    assert (outcome.outcome, outcome.retry_in, outcome.is_fault) == ("unknown", retry_in, True)


@pytest.mark.parametrize(
    ("tries", "unknowns", "retry_in"), [(1, 0, 1.0), (3, 0, 4.0), (2, 1, None), (7, 1, None), (8, 0, None)]
)
def test_an_unknown_outcome_is_repeated_once_where_the_channel_says_so(
    tries: int, unknowns: int, retry_in: float | None
) -> None:
    outcome = make_policy(unknown="once").after(UnknownOutcomeError("cut off"), attempt(tries, unknowns=unknowns))

    assert (outcome.outcome, outcome.retry_in) == ("unknown", retry_in)


def test_what_is_known_to_have_failed_is_repeated_after_an_unknown_outcome() -> None:
    outcome = make_policy(unknown="once").after(TemporaryError("greylisted"), attempt(5, unknowns=1))

    assert outcome.outcome == "failed"


def test_a_mail_is_repeated_once_and_a_webhook_as_often_as_need_be() -> None:
    policies = {name: policy(settings(), name).unknown for name in ("email", "webhook", "log", None)}

    assert policies == {"email": "once", "webhook": "retry", "log": "retry", None: "retry"}


@pytest.mark.parametrize(
    ("error", "is_fault"),
    [
        (PermanentError("no such user"), False),
        (TemporaryError("greylisted", is_destination_fault=False), False),
        (TemporaryError("down"), True),
        (OSError("down"), True),
    ],
)
def test_only_what_the_destination_is_to_blame_for_counts_against_it(error: Exception, *, is_fault: bool) -> None:
    outcome = make_policy().after(error, attempt(1))

    assert (outcome.destination, outcome.is_fault) == ("webhook:host", is_fault)


def test_a_reason_is_made_storable() -> None:
    outcome = make_policy().after(OSError("a\0b\ud800" + "x" * 1000), attempt(8))

    reason = outcome.reason or ""
    assert reason.startswith("OSError: a\N{REPLACEMENT CHARACTER}b?xxx")
    assert reason.endswith("… (attempt 8 of 8)")
    assert len(reason) == MAX_REASON


def test_an_error_whose_text_cannot_be_read_still_has_an_outcome() -> None:
    class UnreadableError(Exception):
        def __str__(self) -> str:
            raise ValueError

    outcome = make_policy().after(UnreadableError(), attempt(1))

    assert outcome.reason == "UnreadableError: its text cannot be read"
