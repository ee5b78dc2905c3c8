"""Headers that Herald reads: `Idempotency-Key`, and W3C trace context, which leaves with the Kafka records."""

import re
from functools import partial

from litestar.concurrency import sync_to_thread

from herald.api.http.gate import key_of
from herald.api.http.problems import IDEMPOTENCY_KEY, HttpRequest, field_problem
from herald.api.http.requests import SPAN
from herald.outbox.acceptance.idempotency import RequestKey, make_request_key
from herald.outbox.watched.traces import TRACES

AT_ONCE = 65_536  # bytes; checking takes up to 0.1 s per MB (measured), which must not hold up every other request
MAX_KEY = 255  # characters
# The expired draft-ietf-httpapi-idempotency-key-header-07 wants a string of RFC 8941, in quotes; callers send it bare
# Both for a JSON schema; spaces around a header's value are none of it, https://www.rfc-editor.org/rfc/rfc9110#section-5.5
KEY_PATTERN = r'^([!#-~]([ -~]{0,253}[!-~])?|"([ !#-\[\]-~]|\\["\\]){1,255}")$'
_BARE = re.compile(rb'(?!")[\x20-\x7e]+')
_QUOTED = re.compile(rb'"((?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')
_ESCAPED = re.compile(rb'\\(["\\])')
# https://www.w3.org/TR/trace-context/#traceparent-header: version, trace id, parent id, flags; ff and zeros are invalid
_TRACEPARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def header(request: HttpRequest, name: bytes) -> bytes | None:
    """A header's value without building Litestar's dictionary of all of them, which the hot path never needs."""
    for key, value in request.scope["headers"]:
        if key == name:
            return value
    return None


def traceparent(request: HttpRequest) -> str | None:
    """The request's traceparent, or its span's where it has one: what follows is below it.

    None when it is absent or malformed, which the specification says to ignore.
    """
    spans = TRACES.spans
    if spans is not None and (place := spans.place_of(request.scope.get("state", {}).get(SPAN))):
        return place
    sent = header(request, b"traceparent")
    return sent.decode() if sent and _TRACEPARENT.fullmatch(sent) else None


async def request_key_of(request: HttpRequest, body: bytes) -> RequestKey | None:
    """The request's key and fingerprint; None without the header. Raises ProblemError: 400."""
    sent = _values(request, b"idempotency-key")
    if not sent:
        return None
    if len(sent) > 1:
        raise field_problem(IDEMPOTENCY_KEY, f"is given {len(sent)} times, the limit is 1")
    caller = key_of(request)
    key, method, path = _parse(sent[0]), request.scope["method"], request.scope["path"]
    asked = partial(make_request_key, key, owner=caller.owner if caller else None, method=method, path=path, body=body)
    return await sync_to_thread(asked) if len(body) > AT_ONCE else asked()


def _values(request: HttpRequest, name: bytes) -> list[bytes]:
    return [value for key, value in request.scope["headers"] if key == name]


def _parse(sent: bytes) -> str:
    value = sent.strip(b" \t")
    quoted = _QUOTED.fullmatch(value)
    key = _ESCAPED.sub(rb"\1", quoted[1]) if quoted else value
    if not (quoted or _BARE.fullmatch(value)) or not 1 <= len(key) <= MAX_KEY:
        raise field_problem(IDEMPOTENCY_KEY, f"must be 1 to {MAX_KEY} printable ASCII characters, in quotes or without")
    return key.decode("ascii")
