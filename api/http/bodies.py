"""Request bodies: bytes, checked and decoded once, every refusal naming its field and limit."""

import asyncio
import re
from http import HTTPStatus
from typing import Any, TypeVar

import msgspec
from litestar import Request

from herald.api.http.problems import WHOLE_BODY, ProblemError, field_problem
from herald.api.http.resources import resources_of
from herald.outbox.message.dates import DateError
from herald.outbox.message.payload import PayloadError, check_json

T = TypeVar("T")
AT_ONCE = 65_536  # bytes; checking takes up to 0.1 s per MB (measured), which must not hold up every other request
_JSON = re.compile(rb"application/(?:json|[a-z0-9.!#$&^_+-]+\+json)\s*(?:;|$)", re.IGNORECASE)
_PATH = re.compile(r" - at `(?P<path>[^`]*)`$")
_MEMBER = re.compile(r"^Object (?P<complaint>contains unknown|missing required) field `(?P<name>[^`]*)`$")


async def read_json(
    request: Request[Any, Any, Any], decoder: msgspec.json.Decoder[T], *, max_bytes: int
) -> tuple[T, bytes]:
    """Read the body and decode it; its bytes come along. Raises ProblemError: 400, 413 or 415."""
    _require_json(request)
    raw = await _read(request, max_bytes)
    if not raw:
        raise field_problem(WHOLE_BODY, "is empty")
    if len(raw) > AT_ONCE:
        async with resources_of(request).large:
            return await asyncio.to_thread(_checked, raw, decoder, max_bytes), raw
    return _checked(raw, decoder, max_bytes), raw


async def read_ignored(request: Request[Any, Any, Any], *, max_bytes: int) -> None:
    """Wait for the end of a body that says nothing: a request that ends early is not acted on.

    Raises ProblemError: 400 or 413.
    """
    await _read(request, max_bytes)


def decode(raw: bytes | msgspec.Raw, decoder: msgspec.json.Decoder[T], *, within: str = "$") -> T:
    """Decode JSON that stands at the path `within` of the body. Raises ProblemError: 400."""
    try:
        return decoder.decode(raw)
    except msgspec.DecodeError as error:
        raise explained(error, within) from None


def field_name(path: str) -> str:
    """A JSON path as the caller would write it: `$.items[3].content` is `items[3].content`."""
    return path.removeprefix("$").removeprefix(".") or WHOLE_BODY


def header(request: Request[Any, Any, Any], name: bytes) -> bytes | None:
    """A header's value without building Litestar's dictionary of all of them, which the hot path never needs."""
    for key, value in request.scope["headers"]:
        if key == name:
            return value
    return None


def _checked(raw: bytes, decoder: msgspec.json.Decoder[T], max_bytes: int) -> T:
    try:
        check_json(raw, max_bytes=max_bytes)
    except PayloadError as error:
        raise field_problem(field_name(error.field), str(error)) from None
    return decode(raw, decoder)


def _require_json(request: Request[Any, Any, Any]) -> None:
    sent = header(request, b"content-type")
    if sent is None or not _JSON.match(sent):
        detail = f"must be application/json, not {sent.decode('latin-1') if sent else 'absent'}"
        raise field_problem("content-type", detail, HTTPStatus.UNSUPPORTED_MEDIA_TYPE)


async def _read(request: Request[Any, Any, Any], max_bytes: int) -> bytes:
    # Litestar's own reader builds its headers and a generator per request; this one counts what arrives
    announced = header(request, b"content-length")
    if announced is not None and announced.isdigit() and int(announced[:20]) > max_bytes:
        raise _too_large(max_bytes)
    body, goes_on = _piece(await request.receive())
    if not goes_on:
        return _within(body, max_bytes)
    chunks, size = [body], len(body)
    while goes_on:
        body, goes_on = _piece(await request.receive())
        chunks.append(body)
        size += len(body)
        if size > max_bytes:
            raise _too_large(max_bytes)
    return b"".join(chunks)


def _piece(message: Any) -> tuple[bytes, bool]:  # noqa: ANN401 - what a server gives
    """A piece of the body, and whether another one follows. Raises ProblemError where its sender is gone."""
    if message["type"] == "http.disconnect":  # what came may be valid, and is still not what was meant
        raise field_problem(WHOLE_BODY, "ended before its end came")
    return message.get("body", b""), message.get("more_body", False)


def _within(body: bytes, max_bytes: int) -> bytes:
    if len(body) > max_bytes:
        raise _too_large(max_bytes)
    return body


def _too_large(max_bytes: int) -> ProblemError:
    return field_problem(WHOLE_BODY, f"the limit is {max_bytes} bytes", HTTPStatus.REQUEST_ENTITY_TOO_LARGE)


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
