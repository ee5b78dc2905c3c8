"""JSON from outside, from HTTP and from Kafka alike: refused here before PostgreSQL would.

PostgreSQL cannot store NUL in text (22P05), takes no lone surrogate (22P02) and no invalid UTF-8
(22021), and one such value fails the whole statement it travels in. A number it stores as `1e131071`, and gives back
as 131,072 digits.
"""

from collections.abc import Iterator

import msgspec

from herald.outbox.message.numbers import find_oversized

WITHOUT_NUL = r"^[^\u0000]*$"  # the same for a JSON schema
MAX_DEPTH = 32  # levels of arrays and objects; msgspec itself gives up near 1,000
MAX_REASON = 500  # characters
_ROUND = bytes.maketrans(b"[{]}", b"(())")
_NO_BRACKETS = bytes(sorted(set(range(256)) - set(b"[{]}")))
_TOO_DEEP = b"(" * (MAX_DEPTH + 1)
_ANYTHING = msgspec.json.Decoder()


class PayloadError(ValueError):
    """JSON that cannot be stored; `field` is its JSON path (`$.content`), the text names the limit."""

    def __init__(self, detail: str, *, field: str = "$") -> None:
        super().__init__(detail)
        self.field = field


def check_json(raw: bytes, *, max_bytes: int) -> None:
    """Refuse what PostgreSQL could not store or give back: size in bytes, UTF-8, NUL, lone surrogates, depth, numbers.

    The size that counts is that with every number written out, as it is read back. Raises PayloadError.
    """
    if len(raw) > max_bytes:
        message = f"{len(raw)} bytes, the limit is {max_bytes}"
        raise PayloadError(message)
    _check_utf8(raw)
    _check_depth(raw)
    _check_syntax(raw)
    if b"\\u0000" in raw:
        _check_nul(raw)
    if oversized := find_oversized(raw, max_bytes=max_bytes):
        raise PayloadError(oversized.detail, field=oversized.field)


def _check_utf8(raw: bytes) -> None:
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        message = f"invalid UTF-8 at byte {error.start}"
        raise PayloadError(message) from None


def _check_depth(raw: bytes) -> None:
    """Leaves out the texts and takes the innermost level away, again and again.

    Half a million brackets one by one would hold up everybody for 0.2 s.
    """
    if raw.count(b"[") + raw.count(b"{") <= MAX_DEPTH:
        return
    plain = raw.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in raw else raw
    left = b"".join(plain.split(b'"')[::2]).translate(_ROUND, _NO_BRACKETS)
    levels = 0
    while b"()" in left and levels < MAX_DEPTH and _TOO_DEEP not in left:
        left = left.replace(b"()", b"")
        levels += 1
    if b"()" in left or _TOO_DEEP in left:  # what never closes is for the syntax
        message = f"nested deeper than the limit of {MAX_DEPTH} levels"
        raise PayloadError(message)


def _check_syntax(raw: bytes) -> None:
    try:
        msgspec.json.decode(raw, type=msgspec.Raw)
    except msgspec.DecodeError as error:
        raise PayloadError(_explained(str(error))) from None


def _explained(message: str) -> str:
    if "surrogate" in message or message == "Input data was truncated":
        return f"not valid JSON: cut short, or a lone surrogate ({message})"
    return f"not valid JSON: {message}"


def _check_nul(raw: bytes) -> None:
    try:
        value = _ANYTHING.decode(raw)
    except msgspec.DecodeError as error:
        raise PayloadError(str(error)) from None
    for field in _nul_fields(value, "$"):
        message = "contains NUL (\\u0000), which cannot be stored"
        raise PayloadError(message, field=field)


def _nul_fields(value: object, path: str) -> Iterator[str]:
    if isinstance(value, str) and "\0" in value:
        yield path
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _nul_fields(item, f"{path}[{index}]")
    if isinstance(value, dict):
        for name, item in value.items():
            if "\0" in name:
                yield path
            yield from _nul_fields(item, f"{path}.{name}")


def storable(text: str, *, limit: int = MAX_REASON) -> str:
    """What PostgreSQL takes, shortened: a provider's error may quote any bytes."""
    clean = text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()
    return clean if len(clean) <= limit else f"{clean[: limit - 1]}…"
