"""Rows that somebody writes into the log past Herald. Two thousand of them in `make proof-all`."""

import pytest

from tests.proof.faults.court import Court
from tests.proof.fuzz.log_flood import flood

ROWS = 100
SECONDS = 10.0  # until a good message has passed


@pytest.mark.kafka
@pytest.mark.proof
def test_the_relay_passes_whatever_stands_in_the_log_and_each_row_is_named(court: Court, seed: int) -> None:
    found = flood(court, rows=ROWS, seed=seed)

    assert max(found.passed) < SECONDS
    found.assert_clean()
