"""The header `Idempotency-Key`: what it may be, and what it becomes."""

import re
from typing import Any

from litestar import Request
from litestar.concurrency import sync_to_thread

from herald.api.http.bodies import AT_ONCE
from herald.api.http.problems import IDEMPOTENCY_KEY, field_problem
from herald.outbox.acceptance.idempotency import RequestKey, make_request_key

MAX_KEY = 255  # characters
# The expired draft-ietf-httpapi-idempotency-key-header-07 wants a string of RFC 8941, in quotes; callers send it bare
# Both for a JSON schema; spaces around a header's value are none of it, https://www.rfc-editor.org/rfc/rfc9110#section-5.5
KEY_PATTERN = r'^([!#-~]([ -~]{0,253}[!-~])?|"([ !#-\[\]-~]|\\["\\]){1,255}")$'
_BARE = re.compile(rb'(?!")[\x20-\x7e]+')
_QUOTED = re.compile(rb'"((?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')
_ESCAPED = re.compile(rb'\\(["\\])')


async def request_key_of(request: Request[Any, Any, Any], body: bytes) -> RequestKey | None:
    """The request's key and fingerprint; None without the header. Raises ProblemError: 400."""
    sent = [value for name, value in request.scope["headers"] if name == b"idempotency-key"]
    if not sent:
        return None
    if len(sent) > 1:
        raise field_problem(IDEMPOTENCY_KEY, f"is given {len(sent)} times, the limit is 1")
    key, method, path = _parse(sent[0]), request.scope["method"], request.scope["path"]
    if len(body) > AT_ONCE:
        return await sync_to_thread(make_request_key, key, method=method, path=path, body=body)
    return make_request_key(key, method=method, path=path, body=body)


def _parse(sent: bytes) -> str:
    value = sent.strip(b" \t")
    quoted = _QUOTED.fullmatch(value)
    key = _ESCAPED.sub(rb"\1", quoted[1]) if quoted else value
    if not (quoted or _BARE.fullmatch(value)) or not 1 <= len(key) <= MAX_KEY:
        raise field_problem(IDEMPOTENCY_KEY, f"must be 1 to {MAX_KEY} printable ASCII characters, in quotes or without")
    return key.decode("ascii")
