"""What the answer to a webhook means.

Taken: 2xx. The host is at fault, so it is tried again and its breaker counts: 5xx, 408, 425 and 429. Tried
again without blaming the host: 401, 403, 404 and 405 (the endpoint may be set up wrongly, other paths of
the host may not), 409 and 423 (this message, for now). For good: every other 4xx, and 3xx, never followed.
"""

from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import httpcore2

from herald.pipeline.channel import PermanentError, TemporaryError
from herald.pipeline.channels.webhook.network import BROKEN, Call

MOST_OF_ANSWER = 65_536  # bytes of an answer that are read
DRAIN = 1.0  # seconds to read the rest of a good answer, so that its connection can be used again
QUOTED = 100  # characters of an answer in the reason
OF_THE_HOST = frozenset({408, 425, 429})
OF_THE_ENDPOINT = frozenset({401, 403, 404, 405, 409, 423})


def is_taken(answer: httpcore2.Response) -> bool:
    """Any 2xx, as Standard Webhooks has it."""
    return HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES


def drain(answer: httpcore2.Response, call: Call) -> None:
    """It was taken, whatever its answer does now: read a little, so that the connection can be used again."""
    call.deadline.shorten(DRAIN)
    with suppress(*BROKEN):
        _read(answer)


def _read(answer: httpcore2.Response) -> bytes:
    """The answer's first bytes as they came: nothing is inflated."""
    read = b""
    for chunk in answer.iter_stream():
        read += chunk
        if len(read) >= MOST_OF_ANSWER:
            break
    return read[:MOST_OF_ANSWER]


def refusal(answer: httpcore2.Response) -> PermanentError | TemporaryError:
    """What to raise for an answer that is no 2xx."""
    status = answer.status
    headers = {name.lower(): value for name, value in answer.headers}
    reason = f"HTTP {status}{_phrase(status)}"
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return PermanentError(f"{reason}: redirects are not followed", code="http_status")
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in OF_THE_HOST | OF_THE_ENDPOINT:
        after = _retry_after(headers.get(b"retry-after"))
        is_fault = status not in OF_THE_ENDPOINT
        return TemporaryError(reason, code="http_status", retry_after=after, is_destination_fault=is_fault)
    return PermanentError(f"{reason}{_quoted(answer, headers)}", code="http_status")


def _phrase(status: int) -> str:
    try:
        return f" {HTTPStatus(status).phrase}"
    except ValueError:
        return ""


def _quoted(answer: httpcore2.Response, headers: dict[bytes, bytes]) -> str:
    """What a person can read of a refusal for good; nothing of an answer that is encoded, or breaks off."""
    if headers.get(b"content-encoding", b"identity") != b"identity":
        return ""
    try:
        text = " ".join(_read(answer).decode(errors="replace").split())
    except BROKEN:
        return ""
    return f": {text[:QUOTED]}" if text.isprintable() and text else ""


def _retry_after(value: bytes | None) -> float | None:
    """Seconds, from seconds or a date (RFC 9110 section 10.2.3); None for what is neither."""
    if value is None:
        return None
    text = value.decode("latin-1").strip()
    if text.isdecimal() and text.isascii():
        return float(text)
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):  # a zone of twenty digits, too
        return None
    return max(0.0, (when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
