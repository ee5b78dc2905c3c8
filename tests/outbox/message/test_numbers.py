"""What a number becomes when PostgreSQL writes it out, told without building it."""

from random import Random

import pytest

from herald.outbox.message.numbers import find_oversized
from herald.outbox.message.payload import PayloadError, check_json
from herald.outbox.postgres.driver import errors
from herald.outbox.postgres.statements import fetch
from tests.outbox.connections import connected

LARGE = 1_000_000  # bytes
EDGES = [
    "1e131071", "1e131072", "10e131071", "0.1e131072", "0.001e131075", "0e131072", "0e999999999", "0e-16383",
    "0e-16384", "1e-16383", "1e-16384", "1.5e-16382", "1.5e-16383", "0.0e5", "-1e-3", "1.50e1", "1.5E10", "123e-2",
    "1e0000000000000000005", "12e-2147483648", "1e99999999999999999999", f"0.{'1' * 16383}", f"0.{'1' * 16384}",
    "9" * 131_072, "9" * 131_073, "0.00e3", "100e-5", "1e+5",
]  # fmt: skip


@pytest.fixture(scope="module")
def random_numbers() -> list[str]:
    chance = Random(20261128)  # noqa: S311 - not for secrets

    def digits(most: int) -> str:
        return "".join(chance.choices("0123456789", k=chance.randint(1, most)))

    def number() -> str:
        whole = chance.choice(["0", digits(20).lstrip("0") or "0"])
        fraction = chance.choice(["", f".{digits(20)}"])
        limit = chance.choice([9, 400, 17_000, 140_000])
        exponent = chance.choice("eE") + chance.choice(["", "+", "-"]) + str(chance.randint(0, limit))
        return chance.choice(["", "-"]) + whole + fraction + exponent

    return [number() for _ in range(500)]


def test_a_number_is_as_long_as_postgresql_writes_it_or_refused_as_postgresql_does(
    database: str, random_numbers: list[str]
) -> None:
    with connected(database) as connection:
        for number in EDGES + random_numbers:
            found = find_oversized(f"{number}\n 0e1".encode(), max_bytes=0)  # refused, and its length told
            assert found is not None, number
            try:
                ((length, text),) = fetch(
                    connection, "SELECT length(n), left(n, 1) FROM (SELECT %s::jsonb::text) AS t(n)", number
                )
            except errors.NumericValueOutOfRange:
                connection.rollback()
                assert found.detail == "a number that PostgreSQL cannot store", number
                continue
            lost_sign = number.startswith("-") and text != "-"  # a zero has none
            assert found.detail.startswith(f"{length + lost_sign} digits"), number


@pytest.mark.parametrize(
    ("raw", "field", "complaint"),
    [
        (b'{"a": {"b": [1, "x,]", {"c": [1e3, 1e131071]}]}, "z": 1e3}', "$.a.b[2].c[1]", "the limit is 1000"),
        (b'{"list": [' + b"1e99," * 20 + b"1e100]}", "$.list[20]", "101 digits when written out"),
        (b'{"n": -1e400000}', "$.n", "PostgreSQL cannot store"),
        (b"0." + b"1" * 16_384, "$", "PostgreSQL cannot store"),
    ],
)
def test_a_number_too_long_when_written_out_is_refused_with_its_field(raw: bytes, field: str, complaint: str) -> None:
    with pytest.raises(PayloadError, match=complaint) as refused:
        check_json(raw, max_bytes=max(1000, len(raw)))

    assert refused.value.field == field


def test_numbers_that_fit_written_out_pass() -> None:
    raw = b'{"e": [1e131071, -1.5E-9, 0.25], "uuid": "3e8a1e99999999", "n": 123456789012345678901234567890}'

    check_json(raw, max_bytes=LARGE)
