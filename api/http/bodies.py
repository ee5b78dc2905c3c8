"""Request bodies: bytes, checked and decoded once, every refusal naming its field and limit."""

import asyncio
import re
from http import HTTPStatus
from typing import Any, TypeVar

import msgspec

from herald.api.http.headers import AT_ONCE, header
from herald.api.http.problems import WHOLE_BODY, HttpRequest, ProblemError, field_problem
from herald.api.http.resources import resources_of
from herald.outbox.message.dates import DateError
from herald.outbox.message.payload import PayloadError, check_json

T = TypeVar("T")
_JSON = re.compile(rb"application/(?:json|[a-z0-9.!#$&^_+-]+\+json)\s*(?:;|$)", re.IGNORECASE)
_PATH = re.compile(r" - at `(?P<path>[^`]*)`$")
_MEMBER = re.compile(r"^Object (?P<complaint>contains unknown|missing required) field `(?P<name>[^`]*)`$")


async def read_json(request: HttpRequest, shape: type[T], *, max_bytes: int | None = None) -> tuple[T, bytes]:
    """Read the body and decode it; its bytes come along. HERALD_MAX_BODY is the limit unless another is given.

    Raises ProblemError: 400, 413 or 415.
    """
    sent = header(request, b"content-type")
    if sent is None or not _JSON.match(sent):
        detail = f"must be application/json, not {sent.decode('latin-1') if sent else 'absent'}"
        raise field_problem("content-type", detail, HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
    limit = max_bytes or resources_of(request).settings.max_body
    raw = await _read(request, limit)
    if not raw:
        raise field_problem(WHOLE_BODY, "is empty")
    if len(raw) > AT_ONCE:
        async with resources_of(request).large:
            return await asyncio.to_thread(_checked, raw, shape, limit), raw
    return _checked(raw, shape, limit), raw


async def read_optional(request: HttpRequest, shape: type[T]) -> tuple[T, bytes]:
    """The body, or all the defaults where there is none. Raises ProblemError."""
    if (header(request, b"content-length") or b"0") == b"0" and header(request, b"transfer-encoding") is None:
        return shape(), b""
    return await read_json(request, shape)


async def read_ignored(request: HttpRequest) -> None:
    """Wait for the end of a body that says nothing: a request that ends early is not acted on.

    Raises ProblemError: 400 or 413.
    """
    await _read(request, resources_of(request).settings.max_body)


def decode(raw: bytes | msgspec.Raw, shape: type[T], *, within: str = "$") -> T:
    """Decode JSON that stands at the path `within` of the body. Raises ProblemError: 400."""
    try:
        return msgspec.json.decode(raw, type=shape)
    except msgspec.DecodeError as error:
        raise explained(error, within) from None


def field_name(path: str) -> str:
    """A JSON path as the caller would write it: `$.items[3].content` is `items[3].content`."""
    return path.removeprefix("$").removeprefix(".") or WHOLE_BODY


def explained(error: msgspec.DecodeError, within: str = "$") -> ProblemError:
    """What msgspec complains about, in the words of callers, with the field below the path `within`."""
    message = str(error)
    found = _PATH.search(message)
    path = within + (found["path"].removeprefix("$") if found else "")
    complaint = _PATH.sub("", message)
    if isinstance(error.__cause__, DateError):
        return field_problem(field_name(f"{path}.{error.__cause__.field}"), str(error.__cause__))
    if member := _MEMBER.match(complaint):
        is_unknown = member["complaint"] == "contains unknown"
        return field_problem(field_name(f"{path}.{member['name']}"), "unknown field" if is_unknown else "is required")
    return field_problem(field_name(path), complaint)


def _checked(raw: bytes, shape: type[T], max_bytes: int) -> T:
    try:
        check_json(raw, max_bytes=max_bytes)
    except PayloadError as error:
        raise field_problem(field_name(error.field), str(error)) from None
    return decode(raw, shape)


async def _read(request: HttpRequest, max_bytes: int) -> bytes:
    # Litestar's own reader builds its headers and a generator per request; this one counts what arrives
    announced = header(request, b"content-length")
    if announced is not None and announced.isdigit() and int(announced[:20]) > max_bytes:
        raise _too_large(max_bytes)
    pieces, size, goes_on = [], 0, True
    while goes_on:
        message: Any = await request.receive()
        if message["type"] == "http.disconnect":  # what came may be valid, and is still not what was meant
            raise field_problem(WHOLE_BODY, "ended before its end came")
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        if size > max_bytes:
            raise _too_large(max_bytes)
        goes_on = message.get("more_body", False)
    return b"".join(pieces)


def _too_large(max_bytes: int) -> ProblemError:
    return field_problem(WHOLE_BODY, f"the limit is {max_bytes} bytes", HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
