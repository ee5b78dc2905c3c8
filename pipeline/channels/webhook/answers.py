"""What the answer to a webhook means.

Taken: 2xx. The host is at fault, so it is tried again and its breaker counts: 5xx, 408, 425 and 429. Tried
again without blaming the host: 401, 403, 404 and 405 (the endpoint may be set up wrongly, other paths of
the host may not), 409 and 423 (this message, for now). For good: every other 4xx, and 3xx, never followed.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from aiohttp import StreamReader

from herald.pipeline.channel import PermanentError, TemporaryError
from herald.pipeline.channels.webhook.network import BROKEN

MOST_OF_ANSWER = 65_536  # bytes of an answer that are read
DRAIN = 1.0  # seconds to read the rest of a good answer, so that its connection can be used again
QUOTED = 100  # characters of an answer in the reason
OF_THE_HOST = frozenset({408, 425, 429})
OF_THE_ENDPOINT = frozenset({401, 403, 404, 405, 409, 423})


def is_taken(status: int) -> bool:
    """Any 2xx, as Standard Webhooks has it."""
    return HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES


async def drain(body: StreamReader) -> None:
    """It was taken, whatever its answer does now: read a little, so that the connection can be used again."""
    if not body.is_eof():
        with suppress(*BROKEN):
            async with asyncio.timeout(DRAIN):
                await read(body)


async def read(body: StreamReader) -> bytes:
    """The answer's first bytes as they came: nothing is inflated. Raises what BROKEN names."""
    found = b""
    while len(found) < MOST_OF_ANSWER and (chunk := await body.readany()):
        found += chunk
    return found[:MOST_OF_ANSWER]


def refusal(status: int, headers: Mapping[str, str], text: bytes = b"") -> PermanentError | TemporaryError:
    """What to raise for an answer that is no 2xx; `text` is the beginning of its body."""
    reason = f"HTTP {status}{_phrase(status)}"
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return PermanentError(f"{reason}: redirects are not followed", code="http_status")
    if is_tried_again(status):
        after = _retry_after(headers.get("retry-after"))
        is_fault = status not in OF_THE_ENDPOINT
        return TemporaryError(reason, code="http_status", retry_after=after, is_destination_fault=is_fault)
    return PermanentError(f"{reason}{_quoted(text, headers)}", code="http_status")


def is_tried_again(status: int) -> bool:
    """Whether another time may be better."""
    return status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in OF_THE_HOST | OF_THE_ENDPOINT


def _phrase(status: int) -> str:
    try:
        return f" {HTTPStatus(status).phrase}"
    except ValueError:
        return ""


def _quoted(text: bytes, headers: Mapping[str, str]) -> str:
    """What a person can read of a refusal for good; nothing of an answer that is encoded."""
    if headers.get("content-encoding", "identity") != "identity":
        return ""
    shown = " ".join(text.decode(errors="replace").split())
    return f": {shown[:QUOTED]}" if shown.isprintable() and shown else ""


def _retry_after(value: str | None) -> float | None:
    """Seconds, from seconds or a date (RFC 9110 section 10.2.3); None for what is neither."""
    if value is None:
        return None
    text = value.strip()
    if text.isdecimal() and text.isascii():
        return float(text)
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):  # a zone of twenty digits, too
        return None
    return max(0.0, (when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
