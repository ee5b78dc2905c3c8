"""Amounts, in the unit that fits."""

import pytest

from herald.outbox.operate.shown import duration, size


@pytest.mark.parametrize(
    ("count", "shown"), [(512, "512 B"), (8192, "8 kB"), (1_572_864, "1.5 MB"), (21_474_836_480, "20.0 GB")]
)
def test_a_size_is_shown_in_the_unit_that_fits(count: int, shown: str) -> None:
    assert size(count) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.42, "0.4 s"), (75, "75 s"), (600, "10 min"), (9000, "2.5 h"), (345_600, "4.0 d")]
)
def test_a_duration_is_shown_in_the_unit_that_fits(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown
