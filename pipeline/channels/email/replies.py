"""What a server's refusal means for one message."""

import re

from herald.pipeline.channel import PermanentError, TemporaryError

SHOWN = 100  # characters of the server's text
PERMANENT, TRANSIENT = 5, 4  # the first digit of a refusal, RFC 5321 section 4.2.1
DONE = 250
CLOSING = 421  # the server ends the connection, whatever was asked
_OPERATORS = {530, 534, 535, 538}  # refused for want of a login or of encryption: no message's fault
_STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")
_INVISIBLE = re.compile(r"[\x00-\x20\x7f-\x9f]+")
_ADDRESS = re.compile(r"<[^>]*>|\S*@\S*|\w+://\S*")
_DIGIT = re.compile(r"\d")


def refusal(code: int, text: bytes, *, is_destination_fault: bool) -> PermanentError | TemporaryError:
    """The error for a reply that is no consent."""
    reason = describe(code, text)
    if code == CLOSING or code in _OPERATORS:
        return TemporaryError(reason, code="smtp_reply")
    if code // 100 == PERMANENT:
        return PermanentError(reason, code="smtp_reply")
    is_fault = is_destination_fault or code // 100 != TRANSIENT
    return TemporaryError(reason, code="smtp_reply", is_destination_fault=is_fault)


def describe(code: int, text: bytes) -> str:
    """`SMTP 550 user unknown`: the same for every message, so without addresses and words with digits."""
    cleaned = " ".join(_words(text))
    shortened = cleaned if len(cleaned) <= SHOWN else f"{cleaned[: SHOWN - 1].rstrip()}…"
    return f"SMTP {code} {shortened}".rstrip()


def _words(text: bytes) -> list[str]:
    plain = _INVISIBLE.sub(" ", text.decode("utf-8", "replace"))
    words = _ADDRESS.sub(" ", plain).split()
    status = words[:1] if words and _STATUS.fullmatch(words[0]) else []
    return status + [word for word in words if word != ":" and not _DIGIT.search(word)]
