"""The id of an adopted message."""

from uuid import UUID

import pytest

from herald.pipeline.consume.identity import adoption_id, milliseconds_of
from tests.pipeline.records import NOW


def test_the_same_identity_and_time_give_the_same_id() -> None:
    assert adoption_id((b"a", 1), timestamp=NOW) == adoption_id((b"a", 1), timestamp=NOW)


@pytest.mark.parametrize("other", [(b"a", 2), (b"b", 1), (b"a1",), (b"", b"a", 1)])
def test_another_identity_gives_another_id(other: tuple[bytes | int, ...]) -> None:
    assert adoption_id(other, timestamp=NOW) != adoption_id((b"a", 1), timestamp=NOW)


def test_an_adoption_id_is_a_uuidv7_of_the_records_time() -> None:
    made = adoption_id((b"a",), timestamp=NOW)

    assert (made.version, made.variant) == (7, UUID(int=2 << 62).variant)
    assert milliseconds_of(made) == NOW


def test_what_is_no_uuidv7_has_no_date() -> None:
    assert milliseconds_of(UUID("01890000-0000-4000-8000-000000000000")) == -1
