"""The oracle finds what it is there to find: each test breaks one thing in a history that was clean."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from tests.proof.faults.evidence import Published, Story
from tests.proof.faults.ledger import Entry
from tests.proof.faults.oracle import Evidence, judge
from tests.proof.faults.order import Judged, Place, judge_order
from tests.proof.faults.points import with_order_of
from tests.proof.faults.provider import Arrival

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def clean() -> Evidence:
    """Three messages of one key, one after the other; of the second, the first call was made and not recorded."""
    entries = [entry(number) for number in range(3)]
    stories = {f"m{number}": story(number) for number in range(3)}
    stories["m1"].said = {1: {"unknown"}, 2: {"sent"}}
    stories["m1"].started[2] = NOON + timedelta(seconds=30)
    arrivals = [arrival(0), arrival(1), arrival(2), Arrival("m1", 2, "ada", 1, 30.0)]
    return Evidence(entries, stories, arrivals, [Published(f"m{n}.1", "notifications", 0, n) for n in range(3)])


def entry(number: int) -> Entry:
    return Entry(number, "notifications", "ada", None, number, number + 0.5, "accepted", f"m{number}", 1)


def story(number: int) -> Story:
    started = {1: NOON + timedelta(seconds=number)}
    return Story(f"m{number}", number, "sent", {1: {"sent"}}, started, {f"m{number}.1"})


def arrival(number: int) -> Arrival:
    return Arrival(f"m{number}", 1, "ada", number, number + 0.4)


def forget(evidence: Evidence) -> None:
    del evidence.stories["m0"]


def never_call(evidence: Evidence) -> None:
    evidence.arrivals = evidence.arrivals[1:]


def leave_open(evidence: Evidence) -> None:
    evidence.stories["m2"].status = "failed"


def take_what_was_refused(evidence: Evidence) -> None:
    evidence.entries[2].outcome = "refused"


def take_one_request_twice(evidence: Evidence) -> None:
    evidence.stories["m9"] = story(2)
    evidence.stories["m9"].id = "m9"


def make_one_attempt_twice(evidence: Evidence) -> None:
    evidence.arrivals = [*evidence.arrivals, arrival(0)]


def call_what_was_given_back(evidence: Evidence) -> None:
    evidence.stories["m1"].said[1] = {"postponed"}


def never_say_what_became_of_it(evidence: Evidence) -> None:
    evidence.stories["m1"].said[1] = set()


def lose_a_record(evidence: Evidence) -> None:
    evidence.records = (evidence.records or [])[1:]


def publish_what_is_not_in_the_log(evidence: Evidence) -> None:
    evidence.records = [*(evidence.records or []), Published("m7.1", "notifications", 0, 7)]


def publish_out_of_order(evidence: Evidence) -> None:
    evidence.records = [Published(f"m{n}.1", "notifications", 0, 9 - n) for n in range(3)]


def begin_out_of_order(evidence: Evidence) -> None:
    evidence.stories["m2"].started[1] = NOON - timedelta(seconds=1)


def call_out_of_order(evidence: Evidence) -> None:
    evidence.arrivals = [evidence.arrivals[0]._replace(at=20.0), *evidence.arrivals[1:]]


def test_a_clean_history_is_clean() -> None:
    verdict = judge(clean())

    assert verdict.violations == []
    assert verdict.figures["arrivals beyond the one called sent"] == verdict.figures["of those arrived"] == 1
    assert verdict.figures["pairs judged on Kafka"] == 3


@pytest.mark.parametrize(
    ("break_it", "what"),
    [
        (forget, "1 lost"),
        (never_call, "1 lost"),
        (leave_open, "1 not over"),
        (take_what_was_refused, "1 in the log and not asked for"),
        (take_one_request_twice, "1 in the log and not asked for"),
        (make_one_attempt_twice, "arrived 2 times"),
        (call_what_was_given_back, "attempt 1 of m1 arrived, and the log says {'postponed'}"),
        (never_say_what_became_of_it, "has no outcome"),
        (never_say_what_became_of_it, "1 repeated calls, and the log knows of 0"),
        (lose_a_record, "1 not on Kafka: m0.1"),
        (publish_what_is_not_in_the_log, "1 on Kafka and not in the log"),
        (publish_out_of_order, "2 out of order on Kafka"),
        (begin_out_of_order, "1 out of order in the log: number 2"),
        (call_out_of_order, "2 out of order at the provider"),
    ],
)
def test_a_broken_history_is_found(break_it: Callable[[Evidence], None], what: str) -> None:
    evidence = clean()

    break_it(evidence)

    assert what in "\n".join(judge(evidence).violations)


def test_what_is_unknown_may_be_in_the_log_or_not() -> None:
    evidence = clean()
    evidence.entries[2].outcome, evidence.entries[2].id = "unknown", None
    evidence.entries = [*evidence.entries, Entry(3, "notifications", "ada", None, 3.0)]

    verdict = judge(evidence)

    assert verdict.violations == []
    assert verdict.figures["unknown and in the log"] == 1


def test_requests_that_were_open_at_the_same_time_are_not_ordered() -> None:
    places = [Place("ada", 0.0, 2.0, 5, 0), Place("ada", 1.0, 3.0, 4, 1), Place("bob", 9.0, 9.5, 1, 2)]

    assert judge_order(places) == Judged(0, [])


def test_an_answer_that_never_came_orders_nothing_behind_it() -> None:
    places = [Place("ada", 0.0, float("inf"), 5, 0), Place("ada", 1.0, 3.0, 4, 1), Place("ada", 4.0, 5.0, 3, 2)]

    assert judge_order(places) == Judged(1, [(2, 1)])


def test_order_is_judged_before_a_pipeline_is_frozen_and_all_else_after() -> None:
    ordered, overtaken, lost = clean(), clean(), clean()
    call_out_of_order(overtaken)
    lose_a_record(lost)

    assert with_order_of(judge(ordered), judge(overtaken)).violations == []
    assert with_order_of(judge(overtaken), judge(ordered)).violations == judge(overtaken).violations != []
    assert with_order_of(judge(ordered), judge(lost)).violations == judge(lost).violations != []
