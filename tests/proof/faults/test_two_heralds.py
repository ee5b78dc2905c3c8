"""Two hundred messages each; ten thousand by `python -m tests.proof.faults two-heralds`."""

import pytest

from tests.proof.faults.two_heralds import put_together, staged

pytestmark = [pytest.mark.kafka, pytest.mark.proof]


def test_two_heralds_keep_apart_on_one_kafka_and_a_copy_calls_nobody() -> None:
    with staged() as stage:
        found = put_together(stage, messages=200, foreign=20)

    found.assert_right()
