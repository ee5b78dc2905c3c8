import pytest

from herald.outbox.message.payload import MAX_DEPTH, PayloadError, check_json


@pytest.mark.parametrize(
    ("raw", "complaint"),
    [
        (b'"' + b"x" * 100 + b'"', "102 bytes, the limit is 100"),
        (b'{"a": "\xff"}', "invalid UTF-8 at byte 7"),
        (b'{"a": "\\ud800"}', "surrogate"),
        (b'{"a": "\\udc00x"}', "surrogate"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), f"limit of {MAX_DEPTH} levels"),
        (b"{", "not valid JSON"),
        (b"NaN", "not valid JSON"),
        (b'{"a": 1} x', "not valid JSON"),
    ],
)
def test_unfit_json_is_refused_with_its_limit(raw: bytes, complaint: str) -> None:
    with pytest.raises(PayloadError, match=complaint):
        check_json(raw, max_bytes=100)


@pytest.mark.parametrize(
    ("raw", "complaint"),
    [
        (b"[[]" * MAX_DEPTH + b"[]" + b"]" * MAX_DEPTH, f"limit of {MAX_DEPTH} levels"),
        (b'{"a":[{},' * 17 + b"1" + b"]}" * 17, f"limit of {MAX_DEPTH} levels"),
        (b"[]," * 50 + b"[" * MAX_DEPTH, "not valid JSON"),
        (b"]" * 100 + b"[" * 10, "not valid JSON"),
    ],
)
def test_levels_are_counted_whatever_stands_beside_them(raw: bytes, complaint: str) -> None:
    with pytest.raises(PayloadError, match=complaint):
        check_json(raw, max_bytes=1000)


def test_a_text_that_never_ends_is_read_once() -> None:
    quotes = b'\\"' * 500_000  # each could be the beginning of a text: it would take hours

    with pytest.raises(PayloadError, match="not valid JSON"):
        check_json(b"[" + b"[]," * MAX_DEPTH + b'"' + quotes, max_bytes=2_000_000)


def test_a_nul_is_refused_with_the_field_it_stands_in() -> None:
    with pytest.raises(PayloadError, match="NUL") as refused:
        check_json(b'{"list": [{"text": "a\\u0000b"}]}', max_bytes=100)

    assert refused.value.field == "$.list[0].text"


@pytest.mark.parametrize(
    "raw",
    [
        b"[" * MAX_DEPTH + b"]" * MAX_DEPTH,
        b'{"text": "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["}',
        b'{"text": "\\\\u0000 is only text"}',
        b'{"smile": "\\ud83d\\ude00"}',
        b'{"n": 1e900, "text": "1e131071"}',
        b'"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[ \\" ["',
        b"[" + b"[{}]," * 100 + b'{"a": [1]}]',
    ],
)
def test_fit_json_passes(raw: bytes) -> None:
    assert check_json(raw, max_bytes=1000) is None  # type: ignore[func-returns-value]
