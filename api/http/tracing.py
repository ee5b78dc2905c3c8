"""W3C trace context: what arrives with a request leaves with its Kafka records."""

import re
from typing import Any

from litestar import Request

from herald.api.http.bodies import header

# https://www.w3.org/TR/trace-context/#traceparent-header: version, trace id, parent id, flags; ff and zeros are invalid
_TRACEPARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def traceparent(request: Request[Any, Any, Any]) -> str | None:
    """The request's traceparent; None when it is absent or malformed, which the specification says to ignore."""
    sent = header(request, b"traceparent")
    if sent is None or not _TRACEPARENT.fullmatch(sent):
        return None
    return sent.decode()
