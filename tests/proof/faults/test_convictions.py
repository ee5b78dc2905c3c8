"""Nobody is convicted in an outage: each fault lasts for seconds here, and for a minute by `tests.proof.faults`."""

from collections.abc import Iterator

import pytest

from tests.proof.faults.convictions import hold, judge
from tests.proof.faults.court import Court, opened_court
from tests.proof.faults.shared_faults import EVERY, Shared

pytestmark = pytest.mark.kafka

SECONDS = 3.0
SHORT = {"SELECT revoked on every table", "the topic may not be written", "all handlers raise TypeError"}
EACH = [
    pytest.param(fault, id=fault.name, marks=() if fault.name in SHORT else pytest.mark.proof)
    for fault in EVERY
    if not fault.is_variant
]


@pytest.fixture(scope="module")
def court() -> Iterator[Court]:
    with opened_court() as court:
        yield court


@pytest.mark.parametrize("fault", EACH)
def test_an_outage_convicts_nobody_and_afterwards_all_is_sent(court: Court, fault: Shared) -> None:
    if fault.name == "the disk full" and not court.can_fill:
        pytest.skip("a disk that gets full cannot be mounted here")

    held = hold(court, fault, SECONDS)

    assert held.accepted > 0
    assert held.in_words() == ""


def test_whatever_was_accepted_in_all_of_them_is_sent_as_the_log_says(court: Court) -> None:
    judge(court).assert_clean()
