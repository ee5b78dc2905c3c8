"""What the benchmarks print."""

import pytest

from benchmarks.figures import Contest, Figure, Missing, Target, percentile, spread, table
from benchmarks.flow import Course
from benchmarks.growth.measuring import Growth, Plans
from benchmarks.growth.plans import Explained, judge, summed
from benchmarks.held import is_flat
from benchmarks.letters import SIZE, letters


def test_a_ratio_is_taken_round_by_round_and_is_met_from_its_target_on() -> None:
    contest = Contest("drain, records/s", "raw producer", Target(least=0.45))
    for herald, rival in ((50.0, 100.0), (90.0, 200.0), (30.0, 50.0)):
        contest.add(herald, rival, (40.0, 50.0))

    assert contest.ratio == spread([0.5, 0.45, 0.6])
    assert contest.row() == [
        "drain, records/s",
        "50 [30 … 90]",
        "raw producer 100 [50 … 200]",
        "0.50 [0.45 … 0.60]",
        "40 % and 50 %",
        "at least 0.45: met",
    ]


def test_a_missed_target_is_said_loudly() -> None:
    contest = Contest("drain, records/s", "raw producer", Target(least=0.45), [10_000.0], [100_000.0])

    assert not contest.is_met
    assert contest.row()[-1] == "at least 0.45: MISSED"


def test_where_less_is_better_it_is_met_up_to_its_target() -> None:
    assert Contest("storm, ms", "without it", Target(most=2.0), [5.0, 8.0, 30.0], [5.0, 4.0, 10.0]).is_met
    assert not Contest("storm, ms", "without it", Target(most=1.9), [5.0, 8.0, 30.0], [5.0, 4.0, 10.0]).is_met


def test_a_ratio_that_left_little_of_the_machine_says_so() -> None:
    contest = Contest("drain", "raw producer")
    contest.add(1.0, 1.0, (30.0, 9.4))

    assert contest.row()[4] == "30 % and 9 %, less than 10 %"


def test_a_figure_of_several_rounds_is_met_by_its_median() -> None:
    assert Figure("failed", Target(most=0), [0.0, 3.0, 0.0]).is_met
    assert Figure("failed", Target(most=0), [0.0, 3.0, 3.0]).row()[-1] == "at most 0: MISSED"


def test_a_rival_that_did_not_run_is_named() -> None:
    assert table([Missing("drain", "no Java").row()]).endswith("| drain |  | not run: no Java |  |  |  |")


@pytest.mark.parametrize(("share", "expected"), [(50, 5.0), (99, 10.0), (100, 10.0), (10, 1.0), (1, 1.0)])
def test_a_percentile_is_a_figure_that_was_measured(share: int, expected: float) -> None:
    assert percentile([float(number) for number in range(10, 0, -1)], share) == expected


def test_growth_is_counted_per_tenfold() -> None:
    assert Growth("look, ms", {1_000: 1.0, 10_000: 1.0, 100_000: 1.21}).is_met
    assert Growth("look, ms", {1_000: 1.0, 1_000_000: 8.0}).row()[3:] == ["2.00 per tenfold", "", "at most 1.1: MISSED"]


def test_a_plan_that_grows_with_the_table_is_wrong() -> None:
    scan = {
        "Node Type": "Seq Scan",
        "Relation Name": "outbox_y20261101t0000",
        "Actual Rows": 9,
        "Rows Removed by Filter": 1_992,
    }
    scans = [
        {"Node Type": "Index Scan", "Actual Rows": 1_001, "Parent Relationship": relationship}
        for relationship in ("Outer", "InitPlan")
    ]
    sort = {"Node Type": "Sort", "Actual Rows": 50, "Plans": scans}

    gather = {"Node Type": "Gather", "Actual Rows": 7, "Plans": [scan, sort]}
    wrong = summed([Explained("SELECT 1", list(judge(gather))), Explained("SELECT 2", list(judge(scan)))])
    assert wrong == {"Gather": 7, "Seq Scan of outbox": 4_002, "Sort": 1_001}
    assert list(judge(scan | {"Rows Removed by Filter": 990})) == []
    assert "list: Sort, 1,001 rows" in Plans("wrong", 2, {"list": {"Sort": 1_001}}).row()[2]


def _course(lags: list[float], *, unsent: int = 0) -> Course:
    """One message a second, each late by so many seconds."""
    posted = {str(second): float(second) for second in range(len(lags) + unsent)}
    return Course(posted, {str(second): second + lag for second, lag in enumerate(lags)}, idle=50.0)


def test_what_falls_behind_is_not_held() -> None:
    assert is_flat(_course([3.0, 0.02, 0.02, 0.01, 0.02, 0.03, 0.02, 0.02]), wanted=8)
    assert not is_flat(_course([0.02, 0.02, 0.02, 0.1, 0.2, 0.3, 0.4, 0.5]), wanted=8)
    assert not is_flat(_course([0.02] * 8, unsent=1), wanted=8)
    assert not is_flat(_course([0.02] * 8), wanted=9)
    assert _course([0.02, 1.5]).lags() == pytest.approx([20.0, 1500.0])


def test_letters_are_of_about_1_kb_no_two_alike_and_the_same_in_every_run() -> None:
    first = list(letters(50))

    assert first == list(letters(50))
    assert len({data for _, data in first}) == 50
    assert all(0.9 * SIZE < len(data) < 1.1 * SIZE for _, data in first)
