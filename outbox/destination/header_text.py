"""Which texts may stand in the header of a mail: those in which no control character hides.

A line break in a subject or a name begins a new header, and so may one that is written as an
encoded word of RFC 2047: programs that decode before they compose turn `=?UTF-8?Q?=0A?=Bcc: x@y`
into a recipient (CVE-2024-6923). It is therefore looked for after each decoding as well.
"""

import binascii
import re
import unicodedata

ROUNDS = 5  # decodings in a row; more layers are nobody's honest subject
_CATEGORIES = {"Cc", "Cs", "Zl", "Zp"}  # C0 and C1, half characters, U+2028, U+2029
_ENCODED_WORD = re.compile(r"=\?([^?]*)\?([bBqQ])\?([^?]*)\?=")
_C0 = re.compile(rb"[\x00-\x1f\x7f]")
_HEX = re.compile(rb"=([0-9A-Fa-f]{2})")


def hidden_control(text: str) -> str | None:
    """The first control character, as `U+000A`, in the text or behind its encoded words; None if there is none.

    A text with more than 5 layers of encoded words counts as hiding one: `too many layers`.
    """
    if text.isascii() and text.isprintable() and "=?" not in text:
        return None  # nearly every text, and it needs no look at each character
    for _ in range(ROUNDS):
        if control := _control(text):
            return control
        decoded = _ENCODED_WORD.sub(_decoded, text)
        if decoded == text:
            return None
        text = decoded
    return "too many layers of encoding"


def _control(text: str) -> str | None:
    found = (character for character in text if unicodedata.category(character) in _CATEGORIES)
    return next((f"U+{ord(character):04X}" for character in found), None)


def _decoded(word: re.Match[str]) -> str:
    charset, encoding, encoded = word.groups()
    data = _base64(encoded) if encoding in "bB" else _quoted_printable(encoded)
    if _C0.search(data):  # whatever the charset makes of it
        return data.decode("latin-1")
    return _text(data, charset.partition("*")[0])  # a charset of RFC 2231 may carry a language


def _quoted_printable(text: str) -> bytes:
    return _HEX.sub(lambda match: bytes([int(match[1], 16)]), text.replace("_", " ").encode())


def _base64(text: str) -> bytes:
    padded = re.sub(r"[^A-Za-z0-9+/]", "", text)
    try:
        return binascii.a2b_base64(padded + "=" * (-len(padded) % 4))
    except binascii.Error:
        return padded.encode()


def _text(data: bytes, charset: str) -> str:
    try:
        return data.decode(charset)
    except (LookupError, ValueError):
        return data.decode("latin-1")
