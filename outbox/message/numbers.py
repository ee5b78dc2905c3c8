"""Numbers as PostgreSQL writes them out again: `1e131071` is stored small in jsonb, and read back as 131,072 digits.

How long that is follows from the digits and the exponent; nothing is built to find it out.
"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

MOST_INTEGER_DIGITS = 131_072  # of a numeric, https://www.postgresql.org/docs/current/datatype-numeric.html
MOST_FRACTION_DIGITS = 16_383
MOST_EXPONENT_DIGITS = 9  # PostgreSQL refuses exponents from 2^30 on, whatever the digits
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_VALUE = re.compile(_STRING + rb"|[-0-9.]++(?:[eE][-+0-9]++)?+", re.DOTALL)
_PART = re.compile(_STRING + rb"|[\[\]{},:]", re.DOTALL)
_TOO_MANY = b"0" * (MOST_FRACTION_DIGITS + 1)
# digits become 0, E becomes e, + becomes -: so it takes a microsecond per kB to see that there is no exponent
_SHAPE = bytes.maketrans(b"123456789E+", b"000000000e-")


class Oversized(NamedTuple):
    """Where a number stands that cannot be stored or read back, as a JSON path, and what is wrong with it."""

    field: str
    detail: str


def find_oversized(raw: bytes, *, max_bytes: int) -> Oversized | None:
    """The number for whose sake this JSON, valid and of `max_bytes` at most, cannot be stored or read back.

    One that PostgreSQL refuses, or the longest of those that make the whole longer than `max_bytes` when they are
    written out.
    """
    if not _may_grow(raw):
        return None
    size, longest, guilty = len(raw), 0, b""
    for token, count in Counter(_VALUE.findall(raw)).items():
        if not _is_special(token):
            continue
        length = _written_length(token)
        if length is None:
            return Oversized(_path_to(raw, token), "a number that PostgreSQL cannot store")
        size += (length - len(token)) * count
        if length > longest:
            longest, guilty = length, token
    if size <= max_bytes:
        return None
    detail = f"{longest} digits when written out, which makes {size} bytes in all; the limit is {max_bytes}"
    return Oversized(_path_to(raw, guilty), detail)


def _may_grow(raw: bytes) -> bool:
    """Whether there is an exponent, or something like one in a text, or enough digits to be too many."""
    shape = raw.translate(_SHAPE)
    if b"0e" in shape and (b"0e0" in shape or b"0e-0" in shape):  # hardly any text has even that
        return True
    return len(raw) > MOST_FRACTION_DIGITS and _TOO_MANY in shape


def _is_special(token: bytes) -> bool:
    """Whether it is a number that is not read back as it was written."""
    return not token.startswith(b'"') and (len(token) > MOST_FRACTION_DIGITS or b"e" in token or b"E" in token)


def _written_length(number: bytes) -> int | None:
    """In characters; None for what PostgreSQL refuses. A zero loses its sign, which is counted all the same."""
    coefficient, _, exponent = number.replace(b"E", b"e").partition(b"e")
    whole, _, fraction = coefficient.lstrip(b"-").partition(b".")
    if len(exponent.lstrip(b"+-0")) > MOST_EXPONENT_DIGITS:
        return None
    shift = int(exponent or b"0")
    decimals = max(0, len(fraction) - shift)
    digits = (whole + fraction).lstrip(b"0")
    integers = len(digits) - len(fraction) + shift if digits else 0
    if integers > MOST_INTEGER_DIGITS or decimals > MOST_FRACTION_DIGITS:
        return None
    return number.startswith(b"-") + max(1, integers) + (1 + decimals if decimals else 0)


def _path_to(raw: bytes, number: bytes) -> str:
    """The JSON path of where this number stands first."""
    place = next(found.start() for found in _VALUE.finditer(raw) if found[0] == number)
    steps: list[str | int] = []
    name = ""
    for part in _parts(raw, place):
        if part in {"{", "["}:
            steps.append("" if part == "{" else 0)
        elif part in {"}", "]"}:
            steps.pop()
        elif part == ":":
            steps[-1] = name
        elif part == "," and isinstance(last := steps[-1], int):
            steps[-1] = last + 1
        elif part.startswith('"'):
            name = part[1:-1]
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)


def _parts(raw: bytes, place: int) -> Iterator[str]:
    """The texts in their quotes, brackets, commas and colons before that byte."""
    return (found[0].decode() for found in _PART.finditer(raw, 0, place))
