"""The line at the end of the demo."""

import pytest

from herald.outbox.up.demo.latency import percentile, result_line, seconds_to_deliver


def test_latency_is_the_difference_of_the_databases_dates() -> None:
    notification = {"created_at": "2026-11-23T10:00:00.100000Z", "sent_at": "2026-11-23T10:00:00.104700+00:00"}

    assert seconds_to_deliver(notification) == pytest.approx(0.0047)


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.0, 1)])
def test_a_percentile_is_the_nearest_rank(share: float, expected: int) -> None:
    assert percentile(range(100, 0, -1), share) == expected


def test_one_value_is_every_percentile() -> None:
    assert percentile([7.0], 0.5) == percentile([7.0], 0.99) == 7.0


def test_the_result_is_one_line() -> None:
    line = result_line([0.0047] * 98 + [0.0091, 1.5], 100)

    assert line == "100 of 100 delivered, p50 4.7 ms, p99 9.1 ms from POST to delivered"


def test_what_is_missing_shows_in_the_line() -> None:
    assert result_line([0.2], 100) == "1 of 100 delivered, p50 200 ms, p99 200 ms from POST to delivered"
    assert result_line([], 100) == "0 of 100 delivered"
