"""What became of each request, counted and logged.

It is noted with the answer and told together with others, a second later at most: each for itself would cost more than
the request.
"""

import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import count as counting
from time import monotonic, time
from typing import Any, NamedTuple
from uuid import UUID

from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send
from prometheus_client import Counter

from herald.outbox.logs import log_many
from herald.outbox.watched.api import REQUEST_SECONDS, REQUESTS
from herald.outbox.watched.metrics import Spread
from herald.outbox.watched.traces import TRACES

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
NOWHERE = "none"  # the route of a path that has none
OK = 200
PROBES = ("/health/live", "/health/ready")  # logged where they fail only
TOGETHER = 100  # requests
FEW = 5  # messages that are named
IDS = "ids"  # in a request's state: the messages that it was about
SPAN = "span"  # there, where requests are traced
REQUEST_ID = "x-request-id"  # of an answer, and in a request's state
GIVEN = (b"x-request-id", b"traceparent")  # by which callers find their request in the log
_FITS = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,64}").fullmatch
_OURS, _numbers = os.urandom(6).hex(), counting(1)  # of this process


class Noted(NamedTuple):
    """A request that was answered: `at` that date, after so many `seconds`."""

    at: float
    method: str
    route: str
    status: int
    seconds: float
    scope: Scope


_noted: list[Noted] = []  # of one event loop


def name(scope: Scope, ids: Sequence[UUID]) -> None:
    """The messages that a request is about."""
    scope.setdefault("state", {})[IDS] = ids


def identify(scope: HTTPScope, headers: Mapping[bytes, bytes]) -> None:
    """A request is called as its caller says, in 64 characters that steer nothing, or by a name of its own."""
    given = headers.get(GIVEN[0]) or headers.get(GIVEN[1])
    called = given.decode() if given and _FITS(given) else f"{_OURS}-{next(_numbers):x}"
    scope.setdefault("state", {})[REQUEST_ID] = called


def id_of(scope: Scope) -> str:
    """What the request is called."""
    called: str = scope["state"][REQUEST_ID]
    return called


def saying_id(send: Send, called: str) -> Send:
    """Its answer says it, too."""
    header = REQUEST_ID.encode(), called.encode()

    async def say(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], header]
        await send(message)

    return say


def begin(scope: Scope, method: str) -> float:
    """When, by the monotonic clock; probes are not traced."""
    if (spans := TRACES.spans) is not None and scope["path"] not in PROBES:
        sent = next((value.decode("latin-1") for key, value in scope["headers"] if key == b"traceparent"), None)
        scope.setdefault("state", {})[SPAN] = spans.received(sent, _known(method))
    return monotonic()


def note(method: str, route: str, status: int, began: float, scope: Scope) -> None:
    """A request was answered; `began` by the monotonic clock."""
    known = _known(method)
    if (spans := TRACES.spans) is not None and (span := scope.get("state", {}).get(SPAN)):
        spans.answered(span, known, route, status, scope["state"].get(IDS, ()))
    _noted.append(Noted(time(), known, route, status, monotonic() - began, scope))
    if len(_noted) >= TOGETHER:
        tell()


def tell() -> None:
    """Count and log what was noted; in the thread that notes."""
    by_kind: defaultdict[tuple[str, str, int], int] = defaultdict(int)
    by_route: defaultdict[str, list[float]] = defaultdict(list)
    for one in _noted:
        by_kind[one.method, one.route, one.status] += 1
        by_route[one.route].append(one.seconds)
    for (method, route, status), count in by_kind.items():
        _requests(method, route, status).inc(count)
    for route, seconds_each in by_route.items():
        _seconds(route).observe_all(seconds_each)
    log_many("request", ((one.at, _fields(one)) for one in _noted if one.status != OK or one.route not in PROBES))
    _noted.clear()


async def noted(app: ASGIApp, method: str, scope: Scope, receive: Receive, send: Send) -> None:
    """Have it answered, and note that under the method that was asked for."""
    began, status, send = begin(scope, method), 0, saying_id(send, id_of(scope))

    async def sending(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        await send(message)

    try:
        await app(scope, receive, sending)
    finally:
        note(method, scope.get("path_template", NOWHERE), status, began, scope)


def _fields(one: Noted) -> dict[str, Any]:
    """No contents, and of the path only its route: what callers wrote there may be anything."""
    _, method, route, status, seconds, scope = one
    fields = {"method": method, "route": route, "status": status, "milliseconds": round(1000 * seconds, 1)}
    fields["request_id"] = id_of(scope)
    if key := scope.get("auth"):
        fields["key"] = key.name
    if ids := scope.get("state", {}).get(IDS):
        fields["messages" if len(ids) > FEW else "ids"] = len(ids) if len(ids) > FEW else list(map(str, ids))
    return fields


def _known(method: str) -> str:
    return method if method in METHODS else "other"


@cache
def _requests(method: str, route: str, status: int) -> Counter:
    return REQUESTS.labels(method, route, status)


@cache
def _seconds(route: str) -> Spread:
    return REQUEST_SECONDS.labels(route)
