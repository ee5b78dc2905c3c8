"""The table of faults keeps what a part of the tests does not make anew."""

from dataclasses import replace

from tests.proof.faults.course import Course
from tests.proof.faults.courses import describe

FROZEN = Course(
    fault="Kafka frozen",
    test="tests/proof/faults/test_broker_faults.py::test_a_frozen_broker_loses_nothing",
    lasted=6.0,
    accepted=811,
    unknown=0,
    usual=0.162,
    worst=8.0,
    back_after=2.0,
    repeated=0,
)
WIPED = replace(FROZEN, fault="Kafka wiped", back_after=1.0)


def test_rows_of_faults_that_were_not_run_again_stay() -> None:
    earlier = describe([FROZEN, WIPED])

    assert describe([replace(FROZEN, back_after=9.0)], earlier) == describe([replace(FROZEN, back_after=9.0), WIPED])
