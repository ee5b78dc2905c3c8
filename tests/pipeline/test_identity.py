"""The id of an adopted message."""

from uuid import UUID

import pytest

from pipeline.identity import EARLIEST, SKEW, adoption_id, is_plausible
from tests.pipeline.records import NOW, new_id


def test_the_same_identity_and_time_give_the_same_id() -> None:
    first = adoption_id((b"a", 1), timestamp=NOW, now=NOW)

    assert adoption_id((b"a", 1), timestamp=NOW, now=NOW + 5_000) == first


@pytest.mark.parametrize("other", [(b"a", 2), (b"b", 1), (b"a1",), (b"", b"a", 1)])
def test_another_identity_gives_another_id(other: tuple[bytes | int, ...]) -> None:
    assert adoption_id(other, timestamp=NOW, now=NOW) != adoption_id((b"a", 1), timestamp=NOW, now=NOW)


def test_an_adoption_id_is_a_uuidv7_of_the_records_time() -> None:
    made = adoption_id((b"a",), timestamp=NOW, now=NOW)

    assert (made.version, made.variant) == (7, UUID(int=2 << 62).variant)
    assert made.int >> 80 == NOW


@pytest.mark.parametrize("timestamp", [-1, 0, EARLIEST - 1, NOW + SKEW + 1, 2**63])
def test_an_impossible_time_leads_to_the_first_partition(timestamp: int) -> None:
    assert adoption_id((b"a",), timestamp=timestamp, now=NOW).int >> 80 == 0


def test_an_id_that_herald_made_is_plausible() -> None:
    assert is_plausible(new_id(), now=2**47)


@pytest.mark.parametrize("forged", [UUID(int=2**128 - 1), UUID("01890000-0000-4000-8000-000000000000")])
def test_an_id_that_herald_cannot_have_made_is_not_plausible(forged: UUID) -> None:
    assert not is_plausible(forged, now=NOW)
