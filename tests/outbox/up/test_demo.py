"""The line at the end of the demo."""

from herald.outbox.up.demo import result_line


def test_the_result_is_one_line() -> None:
    line = result_line(100, 100, 0.0047, 0.0091)

    assert line == "100 of 100 delivered, p50 4.7 ms, p99 9.1 ms from POST to delivered"


def test_what_is_missing_shows_in_the_line() -> None:
    assert result_line(1, 100, 0.2, 1.2) == "1 of 100 delivered, p50 200 ms, p99 1,200 ms from POST to delivered"
    assert result_line(0, 100, 0.0, 0.0) == "0 of 100 delivered"
