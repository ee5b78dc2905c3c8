"""Amounts, in the unit that fits."""

import pytest

from herald.outbox.operate.shown import duration, listed, show, size


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


def test_a_row_is_one_line_for_a_program_that_reads_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    reason, identity = "refused " * 40, "01a22e2a-7a0b-7643-8ebc-b2e20c51feac"

    show(listed(["error", "sample"], [(reason, identity)]))

    _, row = capsys.readouterr().out.splitlines()
    assert row.split()[-1] == identity
