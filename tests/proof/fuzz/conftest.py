"""One Herald for everything that is forged here."""

from collections.abc import Iterator

import pytest

from tests.proof.faults.court import Court, opened_court


@pytest.fixture
def court() -> Iterator[Court]:
    with opened_court() as court:
        yield court


@pytest.fixture
def seed() -> int:
    """Another one each time is what `make proof` draws."""
    return 20_261_128
