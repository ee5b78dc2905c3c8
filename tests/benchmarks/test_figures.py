"""What the benchmarks print."""

import pytest

from benchmarks.figures import Contest, Delay, Slowdown, percentile, spread
from benchmarks.letters import SIZE, letters


def test_a_ratio_is_taken_round_by_round() -> None:
    contest = Contest("relay", "records/s", 0.45, "raw producer", [50.0, 90.0, 30.0], [100.0, 200.0, 50.0])

    assert contest.ratio == spread([0.5, 0.45, 0.6])
    assert contest.is_met


def test_a_missed_target_is_said_loudly() -> None:
    contest = Contest("relay", "records/s", 0.45, "raw producer", [10_000.0], [100_000.0])

    assert str(contest).endswith("ratio   0.10 [0.10 … 0.10]   target 0.45: MISSED")
    assert "herald  10.0 k" in str(contest)


def test_a_slowdown_is_met_up_to_its_target() -> None:
    slowdown = Slowdown("storm", "ms", 2.0, [5.0, 4.0, 10.0], [5.0, 8.0, 30.0])

    assert slowdown.ratio == spread([1.0, 2.0, 3.0])
    assert slowdown.is_met
    assert str(slowdown).endswith("ratio    2.00 [1.00 … 3.00]   target at most 2: met")


@pytest.mark.parametrize(("share", "expected"), [(50, 5.0), (99, 10.0), (100, 10.0), (10, 1.0), (1, 1.0)])
def test_a_percentile_is_a_figure_that_was_measured(share: int, expected: float) -> None:
    assert percentile([float(number) for number in range(10, 0, -1)], share) == expected


def test_a_delay_is_met_when_every_percentile_is_below_its_target() -> None:
    assert Delay("latency", [1.0] * 98 + [30.0] * 2, {50: 12.0, 99: 40.0}).is_met
    assert not Delay("latency", [1.0] * 98 + [50.0] * 2, {50: 12.0, 99: 40.0}).is_met


def test_letters_are_of_about_1_kb_no_two_alike_and_the_same_in_every_run() -> None:
    first = list(letters(50))

    assert first == list(letters(50))
    assert len({data for _, data in first}) == 50
    assert all(0.9 * SIZE < len(data) < 1.1 * SIZE for _, data in first)
