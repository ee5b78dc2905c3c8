"""Who is at fault: one item with a witness, or nobody."""

from collections.abc import Callable, Sequence

import pytest

from herald.outbox.postgres.conviction import MOST_CONVICTIONS, Convictions, narrow, text_of
from herald.outbox.postgres.driver import OperationalError, errors


def refuse(*bad: int, by: Callable[[], Exception] = lambda: TypeError("unforeseen")) -> Callable[[Sequence[int]], int]:
    """An act that fails whenever one of these is among its items, and returns how many it did otherwise."""

    def act(items: Sequence[int]) -> int:
        if set(items) & set(bad):
            raise by()
        return len(items)

    return act


def good() -> None:
    """A probe that succeeds."""


def bad() -> None:
    """A probe that fails."""
    raise TypeError("the known good data fails, too")


def away() -> Exception:
    return OperationalError("server closed the connection unexpectedly")


def test_what_succeeds_is_not_divided() -> None:
    found = narrow([1, 2, 3], refuse(), bad)

    assert found.done == [3]


def test_one_item_at_fault_is_convicted_and_the_others_are_done() -> None:
    found = narrow(range(100), refuse(42), good)

    assert [suspect.item for suspect in found.convicted] == [42]
    assert sum(found.done) == 99


def test_nobody_is_convicted_where_everybody_fails() -> None:
    with pytest.raises(TypeError, match="unforeseen"):
        narrow(range(4), refuse(*range(4)), good)


def test_nobody_is_convicted_where_the_probe_fails_too() -> None:
    with pytest.raises(TypeError, match="unforeseen"):
        narrow([1], refuse(1), bad)


def test_one_that_stands_alone_is_convicted_by_the_probe() -> None:
    found = narrow([1], refuse(1), good)

    assert [suspect.item for suspect in found.convicted] == [1]


@pytest.mark.parametrize("error", [errors.InsufficientPrivilege, errors.UndefinedColumn])
def test_an_error_of_rights_or_schema_convicts_nobody_beside_others_that_succeed(error: type[Exception]) -> None:
    found = narrow([1, 2, 3], refuse(2, by=lambda: _with_code(error)), good)

    assert not found.convicted
    assert [suspect.item for suspect in found.excused] == [2]
    assert sum(found.done) == 2


def test_a_lost_connection_ends_the_search_at_once() -> None:
    with pytest.raises(OperationalError):
        narrow([1, 2], refuse(1, by=away), good)


def test_the_21st_of_one_kind_within_a_minute_is_not_convicted() -> None:
    now = [0.0]
    convictions = Convictions(clock=lambda: now[0])

    allowed = [convictions.allows(TypeError()) for _ in range(MOST_CONVICTIONS + 1)]
    other = convictions.allows(ValueError())
    now[0] = 61.0
    later = convictions.allows(TypeError())

    assert allowed == [True] * MOST_CONVICTIONS + [False]
    assert other
    assert later


def test_what_an_item_ends_with_names_the_error() -> None:
    assert text_of(TypeError("unforeseen")) == "TypeError: unforeseen"


def _with_code(kind: type[Exception]) -> Exception:
    """psycopg2 sets the code of an error only from an answer of the server."""
    code = {errors.InsufficientPrivilege: "42501", errors.UndefinedColumn: "42703"}[kind]  # type: ignore[index]

    class Coded(kind):  # type: ignore[valid-type,misc]
        pgcode = code

    return Coded("not now")
