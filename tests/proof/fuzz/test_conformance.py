"""The API answers as its document says; for long by `python -m tests.proof.faults schema`."""

from pathlib import Path

import pytest

from tests.proof.faults.fleet import Fleet
from tests.proof.fuzz.conformance import SET_UP, conform

SECONDS = 20.0


@pytest.mark.proof
def test_every_answer_is_as_the_document_says_and_every_request_of_it_is_taken(
    database: str, broker: str, tmp_path: Path, seed: int
) -> None:
    with Fleet(tmp_path, database, broker, of_each=1, settings=SET_UP).running() as fleet:
        found = conform(fleet, seconds=SECONDS, seed=seed)

    found.assert_clean()
    assert found.checks["positive_data_acceptance"] > 0
