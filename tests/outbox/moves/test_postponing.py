"""What a claim postpones instead of trying it: paused, behind an open breaker, busy, behind another of its key."""

from uuid import UUID

import msgspec
import pytest

from herald.outbox.moves.claim import BEHIND_WAIT, MOST_BEHIND_WAIT, Claim, Record, claim
from herald.outbox.moves.pauses import ScopeError, list_pauses, pause, resume
from herald.outbox.moves.record import Outcome, record_outcomes
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch
from herald.outbox.registry import DEAD_LETTERS
from herald.outbox.scheduler.due import request_due
from tests.outbox.connections import (
    accepted,
    change,
    execute_and_commit,
    make_settings,
    notification,
    status_of,
    types_of,
)

FIRST = Claim(1, 0, is_probe=False)
HOOK = "webhook:hooks.example.com"


def open_breaker(connection: Connection, *, probe_in: float, destination: str = HOOK) -> None:
    execute_and_commit(
        connection,
        "INSERT INTO breakers (destination, failures, opened_at, probe_at)"
        " VALUES (%s, 5, clock_timestamp(), clock_timestamp() + make_interval(secs => %s))",
        destination,
        probe_in,
    )


def reason_of(connection: Connection, message: UUID) -> str:
    ((reason,),) = fetch(connection, "SELECT reason FROM messages WHERE id = %s", str(message))
    return str(reason)


def fail(connection: Connection, message: UUID, *, attempt: int = 1) -> None:
    outcome = Outcome(id=message, attempt=attempt, outcome="failed", reason="down", retry_in=0.0)
    record_outcomes(connection, [outcome], dead_letters=DEAD_LETTERS)
    connection.commit()


def postpone(connection: Connection, message: UUID) -> None:
    """It is due again at once."""
    pause(connection, "all")
    claim(connection, [Record(message, 1, destination=HOOK)], lease=60)
    resume(connection, "all")


@pytest.mark.parametrize("scope", ["all", "topic:notifications", "channel:log"])
def test_what_is_paused_is_postponed_and_stays_due(connection: Connection, scope: str) -> None:
    (message,) = accepted(connection, notification())
    pause(connection, scope)

    assert claim(connection, [Record(message, 1, destination="log")], lease=60) == {}

    rows = fetch(connection, "SELECT status, attempts, reason_code, due_at <= clock_timestamp() FROM messages")
    assert rows == [("scheduled", 0, "paused", True)]
    assert types_of(connection, message) == ["requested", "postponed"]


@pytest.mark.parametrize("scope", ["topic:generic_topic", "channel:email"])
def test_a_pause_holds_back_only_its_own(connection: Connection, scope: str) -> None:
    (message,) = accepted(connection, notification())
    execute_and_commit(connection, "INSERT INTO pauses (scope) VALUES (%s)", scope)

    assert claim(connection, [Record(message, 1, destination="log")], lease=60) == {message: FIRST}


def test_a_pause_ends_when_it_is_resumed(connection: Connection) -> None:
    (message,) = accepted(connection, notification())
    pause(connection, "all", reason="maintenance")
    assert [(found.scope, found.reason) for found in list_pauses(connection)] == [("all", "maintenance")]

    assert resume(connection, "all")

    assert not resume(connection, "all")
    assert claim(connection, [Record(message, 1)], lease=60) == {message: FIRST}


def test_a_scope_that_nobody_knows_is_refused_by_name(connection: Connection) -> None:
    with pytest.raises(ScopeError, match="no such scope: topic:letters; there are: all, topic:notifications"):
        pause(connection, "topic:letters")


def test_an_open_breaker_postpones_until_its_probe_and_burns_no_attempt(connection: Connection) -> None:
    messages = accepted(connection, *(notification(f"user {number}") for number in range(3)))
    open_breaker(connection, probe_in=60)

    assert claim(connection, [Record(message, 1, destination=HOOK) for message in messages], lease=60) == {}

    rows = fetch(connection, "SELECT attempts, due_at = (SELECT probe_at FROM breakers), reason FROM messages")
    assert rows == [(0, True, "its destination fails")] * 3


def test_of_many_one_probes_a_destination_whose_date_has_come(connection: Connection) -> None:
    messages = accepted(connection, *(notification(f"user {number}") for number in range(3)))
    open_breaker(connection, probe_in=0)

    won = claim(connection, [Record(message, 1, destination=HOOK) for message in messages], lease=60)

    ((probe, found),) = won.items()
    assert found == Claim(1, 0, is_probe=True)
    assert fetch(connection, "SELECT probe_id::text FROM breakers") == [(str(probe),)]


def test_a_second_probe_waits_until_the_lease_of_the_first_is_over(connection: Connection) -> None:
    first, second, third = accepted(connection, *(notification(f"user {number}") for number in range(3)))
    open_breaker(connection, probe_in=0)
    assert claim(connection, [Record(first, 1, destination=HOOK)], lease=60)

    assert claim(connection, [Record(second, 1, destination=HOOK)], lease=60) == {}
    execute_and_commit(connection, "UPDATE breakers SET probe_until = clock_timestamp()")

    assert claim(connection, [Record(third, 1, destination=HOOK)], lease=60) == {third: Claim(1, 0, is_probe=True)}


def test_a_busy_destination_is_come_back_to(connection: Connection) -> None:
    (message,) = accepted(connection, notification())

    assert claim(connection, [Record(message, 1, destination=HOOK, wait=7.0)], lease=60) == {}

    ((seconds,),) = fetch(connection, "SELECT extract(epoch FROM due_at - updated_at)::float FROM messages")
    assert (status_of(connection, message), seconds) == ("scheduled", 7.0)


def test_a_message_waits_for_one_of_its_key_and_destination_that_was_postponed(connection: Connection) -> None:
    first, second, other = accepted(connection, notification(), notification(), notification("bob"))
    claim(connection, [Record(first, 1, destination=HOOK, wait=7.0)], lease=60)

    won = claim(connection, [Record(one, 1, destination=HOOK) for one in (second, other)], lease=60)

    assert won == {other: FIRST}
    assert reason_of(connection, second) == "its destination is busy"


def test_a_message_does_not_wait_for_one_of_another_destination(connection: Connection) -> None:
    first, second = accepted(connection, notification(), notification())
    claim(connection, [Record(first, 1, destination=HOOK, wait=7.0)], lease=60)

    assert claim(connection, [Record(second, 1, destination="log")], lease=60) == {second: FIRST}


def test_in_one_batch_a_message_waits_for_the_one_before_it_that_is_postponed(connection: Connection) -> None:
    first, second = accepted(connection, notification(), notification())

    records = [Record(first, 1, destination=HOOK, wait=7.0), Record(second, 1, destination=HOOK)]
    assert claim(connection, records, lease=60) == {}

    assert reason_of(connection, second) == "its destination is busy"


def test_what_waits_for_another_takes_its_date(connection: Connection) -> None:
    first, second, third, fourth = accepted(connection, *(notification() for _ in range(4)))
    claim(connection, [Record(first, 1, destination=HOOK, wait=7.0)], lease=60)

    claim(connection, [Record(second, 1, destination=HOOK)], lease=60)
    claim(connection, [Record(one, 1, destination=HOOK) for one in (third, fourth)], lease=60)

    after = "SELECT extract(microseconds FROM due_at - first_value(due_at) OVER (ORDER BY id))::int FROM messages"
    assert fetch(connection, f"{after} ORDER BY id") == [(0,), (1,), (2,), (2,)]


def test_what_is_more_urgent_than_the_one_it_waits_for_is_not_looked_at_before_that_ones_date(
    connection: Connection,
) -> None:
    first, second = accepted(connection, notification(), msgspec.structs.replace(notification(), priority=9))
    claim(connection, [Record(first, 1, destination=HOOK)], lease=60)
    given_back = Outcome(id=first, attempt=1, outcome="postponed", reason="not tried", code="not_set_up", retry_in=30.0)
    record_outcomes(connection, [given_back], dead_letters=DEAD_LETTERS)

    claim(connection, [Record(second, 1, destination=HOOK)], lease=60)

    after = "SELECT extract(microseconds FROM max(due_at) - min(due_at))::int FROM messages"
    assert fetch(connection, after) == [(1,)]


def test_what_is_more_urgent_than_one_that_is_due_is_looked_at_soon(connection: Connection) -> None:
    first, second = accepted(connection, notification(), msgspec.structs.replace(notification(), priority=9))
    postpone(connection, first)

    claim(connection, [Record(second, 1, destination=HOOK)], lease=60)

    ((seconds,),) = fetch(
        connection, "SELECT extract(epoch FROM due_at - updated_at)::float FROM messages WHERE id = %s", str(second)
    )
    assert seconds == BEHIND_WAIT


@pytest.mark.parametrize(("stands", "wait"), [("30 seconds", 3), ("1 day", MOST_BEHIND_WAIT)])
def test_after_one_that_does_not_go_on_for_long_is_looked_less_and_less(
    connection: Connection, stands: str, wait: float
) -> None:
    first, second = accepted(connection, notification(), notification())
    postpone(connection, first)
    assert request_due(connection, settings=make_settings("postgresql://nowhere/nothing")) == 1
    older = "UPDATE messages SET updated_at = updated_at - %s::interval WHERE id = %s"
    change(connection, older, stands, str(first))

    claim(connection, [Record(second, 1, destination=HOOK)], lease=60)

    change(connection, older, f"-{stands}", str(first))
    ((seconds,),) = fetch(
        connection, "SELECT extract(epoch FROM due_at - updated_at)::float FROM messages WHERE id = %s", str(second)
    )
    assert seconds == pytest.approx(wait, rel=0.2)


def test_in_one_batch_what_waits_for_another_takes_its_date(connection: Connection) -> None:
    first, second = accepted(connection, notification(), notification())

    claim(connection, [Record(first, 1, destination=HOOK, wait=7.0), Record(second, 1, destination=HOOK)], lease=60)

    after = "SELECT extract(microseconds FROM max(due_at) - min(due_at))::int FROM messages"
    assert fetch(connection, after) == [(1,)]


def test_what_waits_for_another_that_was_requested_again_is_looked_at_soon(connection: Connection) -> None:
    first, second = accepted(connection, notification(), notification())
    postpone(connection, first)
    assert request_due(connection, settings=make_settings("postgresql://nowhere/nothing")) == 1

    claim(connection, [Record(second, 1, destination=HOOK)], lease=60)

    ((seconds,),) = fetch(
        connection, "SELECT extract(epoch FROM due_at - updated_at)::float FROM messages WHERE id = %s", str(second)
    )
    assert seconds == BEHIND_WAIT


def test_a_queue_behind_a_message_that_was_postponed_ends_with_it(connection: Connection) -> None:
    """Messages of one key come all the time: each waits for the one before it, and still one day none does."""
    first, second, third = accepted(connection, notification(), notification(), notification())
    postpone(connection, first)
    claim(connection, [Record(second, 1, destination=HOOK)], lease=60)

    assert request_due(connection, settings=make_settings("postgresql://nowhere/nothing")) == 2

    records = [Record(first, 2, destination=HOOK), Record(second, 2, destination=HOOK)]
    assert list(claim(connection, records, lease=60)) == [first, second]
    assert list(claim(connection, [Record(third, 1, destination=HOOK)], lease=60)) == [third]


def test_a_failed_message_does_not_hold_its_successors(connection: Connection) -> None:
    first, second = accepted(connection, notification(), notification())
    claim(connection, [Record(first, 1)], lease=60)
    fail(connection, first)

    assert claim(connection, [Record(second, 1)], lease=60) == {second: FIRST}


def test_on_a_strict_topic_a_failed_message_holds_its_successors(connection: Connection) -> None:
    first, second, other = accepted(connection, notification(), notification(), notification("bob"))
    claim(connection, [Record(first, 1, is_strict=True)], lease=60)
    fail(connection, first)

    won = claim(connection, [Record(one, 1, is_strict=True) for one in (second, other)], lease=60)

    assert won == {other: FIRST}


def test_on_a_strict_topic_a_key_under_way_in_another_worker_is_left_alone(connection: Connection) -> None:
    first, second = accepted(connection, notification(), notification())
    claim(connection, [Record(first, 1, is_strict=True)], lease=60)

    assert claim(connection, [Record(second, 1, is_strict=True)], lease=60) == {}


def test_on_a_strict_topic_the_worker_that_has_the_lane_may_claim_the_next(connection: Connection) -> None:
    first, second = accepted(connection, notification(), notification())
    claim(connection, [Record(first, 1, is_strict=True)], lease=60)

    won = claim(connection, [Record(second, 1, is_strict=True, is_here=True)], lease=60)

    assert won == {second: FIRST}


def test_what_has_expired_is_not_tried(connection: Connection) -> None:
    (message,) = accepted(connection, notification())
    change(connection, "UPDATE messages SET deliver_by = clock_timestamp()")

    assert claim(connection, [Record(message, 1)], lease=60) == {}

    change(connection, "UPDATE messages SET deliver_by = NULL")


def test_an_attempt_that_is_given_back_does_not_count(connection: Connection) -> None:
    (message,) = accepted(connection, notification())
    claim(connection, [Record(message, 1)], lease=60)

    back = Outcome(id=message, attempt=1, outcome="postponed", reason="stopped", retry_in=0.0)
    record_outcomes(connection, [back], dead_letters=DEAD_LETTERS)

    assert fetch(connection, "SELECT status, attempts, uncounted FROM messages") == [("scheduled", 1, 1)]


def test_an_unknown_outcome_is_repeated_or_held(connection: Connection) -> None:
    repeated, held = accepted(connection, notification("ada"), notification("bob"))
    claim(connection, [Record(repeated, 1), Record(held, 1)], lease=60)

    outcomes = [
        Outcome(id=repeated, attempt=1, outcome="unknown", reason="cut off", retry_in=1.0),
        Outcome(id=held, attempt=1, outcome="unknown", reason="cut off"),
    ]
    record_outcomes(connection, outcomes, dead_letters=DEAD_LETTERS)

    assert (status_of(connection, repeated), status_of(connection, held)) == ("failed", "unknown")
    assert types_of(connection, repeated) == types_of(connection, held) == ["requested", "started", "unknown"]


def test_a_held_message_that_turns_out_to_be_sent_is_sent(connection: Connection) -> None:
    (message,) = accepted(connection, notification())
    claim(connection, [Record(message, 1)], lease=60)
    for kind in ("unknown", "sent"):
        outcome = Outcome(id=message, attempt=1, outcome=kind, reason="cut off" if kind == "unknown" else None)
        record_outcomes(connection, [outcome], dead_letters=DEAD_LETTERS)

    assert status_of(connection, message) == "sent"
