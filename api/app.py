"""The application: its routes, its errors, its documentation."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, cast

from litestar import Litestar, Request, Response, get
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.handlers import BaseRouteHandler
from litestar.response import Redirect
from litestar.routes import HTTPRoute
from litestar.types import (
    ASGIApp,
    HTTPScope,
    LifeSpanReceive,
    LifeSpanScope,
    LifeSpanSend,
    Message,
    Receive,
    Scope,
    Send,
)

from herald.api.http.access import ACCESS
from herald.api.http.gate import STATE as GATE
from herald.api.http.gate import Gate, told
from herald.api.http.operations import RawJson
from herald.api.http.problems import HttpRequest, ProblemError, answer
from herald.api.http.requests import NOWHERE, begin, id_of, identify, note, noted, saying_id
from herald.api.http.resources import STATE, Resources
from herald.api.routes import dead_letters, docs, groups, health, messages, notifications, pauses
from herald.api.shapes.schemas import KEY

Handler = Callable[[HttpRequest], Awaitable[Response[Any]]]
# What is asked all day, without a query, has none of Litestar's layers: 24 µs of the loop instead of 38 (measured)
_AT_ONCE: dict[tuple[str, str], Handler] = {
    ("POST", "/notifications"): notifications.accept_notification.fn,
    ("POST", "/messages"): messages.accept_message.fn,
}
_NO_METHOD = "NONE"
_INSTEAD: dict[str, str] = {"HEAD": "GET", "OPTIONS": _NO_METHOD}


@get("/", include_in_schema=False, sync_to_thread=False)
def root() -> Redirect:
    """A person who opens the address finds the documentation."""
    return Redirect(docs.PATH)


class _PlainRequest(Request[Any, Any, Any]):
    """What handlers use of a request, without what Litestar keeps beside it for its layers."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope, self.receive, self.send = cast("HTTPScope", scope), receive, send


class Herald(Litestar):
    """Litestar, a short way for what is asked all day, HEAD wherever there is GET, and OPTIONS that names all methods.

    HEAD is answered as GET is, without the body. Litestar's own OPTIONS knows of several handlers of a path only the
    first: here the refusal of a method that no path has becomes the answer.
    """

    def __call__(
        self,
        scope: Scope | LifeSpanScope,
        receive: Receive | LifeSpanReceive,
        send: Send | LifeSpanSend,
    ) -> Coroutine[Any, Any, None]:
        """Answer a request; none is handed on by a coroutine of its own."""
        if scope["type"] == "lifespan":
            return super().__call__(scope, receive, send)
        asked, take, give = cast("HTTPScope", scope), cast("Receive", receive), cast("Send", send)
        gate, headers, route = self.state[STATE].gate, told(asked), (asked["method"], asked["path"])
        identify(asked, headers)
        try:
            gate.refuse_pages(asked, headers)
            handler = None if asked["query_string"] else _AT_ONCE.get(route)
            if handler:
                gate.let_in(asked, headers, route)
        except ProblemError as problem:
            handler = _refuse(problem)
        if handler:
            return self._answer(handler, asked, take, give)
        method, instead = asked["method"], _INSTEAD.get(asked["method"])
        if instead:
            asked, give = cast("HTTPScope", {**asked, "method": instead}), _without_body(give, instead)
        return noted(cast("ASGIApp", super().__call__), method, asked, take, give)

    async def _answer(self, handler: Handler, scope: Scope, receive: Receive, send: Send) -> None:
        """As Litestar would: the same handler, and the same problems."""
        began = begin(scope, cast("HTTPScope", scope)["method"])
        scope["app"] = scope["litestar_app"] = self
        request = _PlainRequest(scope, receive, send)
        route = scope["path_template"] = scope["path"] if (request.method, scope["path"]) in _AT_ONCE else NOWHERE
        try:
            response = await handler(request)
        except Exception as error:  # noqa: BLE001 - whatever ends a request becomes its problem
            response = answer(request, error)
        await response.to_asgi_response(app=None, request=request)(scope, receive, saying_id(send, id_of(scope)))
        note(request.method, route, response.status_code or HTTPStatus.OK, began, scope)


def _refuse(problem: ProblemError) -> Handler:
    async def refused(_: HttpRequest) -> Response[Any]:
        raise problem

    return refused


def _without_body(send: Send, instead: str) -> Send:
    empty = instead != _NO_METHOD

    async def send_rest(message: Message) -> None:
        nonlocal empty
        rest = cast("dict[str, Any]", message)
        if rest["type"] == "http.response.body":
            rest = {**rest, "body": b""} if empty else rest
        elif instead == _NO_METHOD and rest["status"] == HTTPStatus.METHOD_NOT_ALLOWED:
            allow = [(name, value) for name, value in rest["headers"] if name == b"allow"]
            rest, empty = {**rest, "status": HTTPStatus.NO_CONTENT.value, "headers": allow}, True
        await send(cast("Message", rest))

    return send_rest


def _let_in(connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler) -> None:
    """What is not answered at once has been found by now. Raises ProblemError."""
    scope = cast("HTTPScope", connection.scope)
    gate: Gate = connection.app.state[GATE]
    gate.let_in(scope, told(scope), (scope["method"], scope["path_template"]))


def _describe_access(app: Litestar) -> None:
    """Before the document is made, which is when somebody asks for it."""
    for route in app.routes:
        if not isinstance(route, HTTPRoute):
            continue
        for handler in route.route_handlers:
            needed = {
                scope for method in handler.http_methods for scope in ACCESS.get((method, route.path_format)) or ()
            }
            handler.security = [{KEY: [scope]} for scope in sorted(needed)]


def make_app(resources: Resources) -> Litestar:
    """The ASGI application; its lifespan starts and stops the committer and closes the pool."""
    settings = resources.settings
    areas = (notifications, messages, groups, dead_letters, pauses, health)
    app = Herald(
        route_handlers=[root, *(area.router for area in areas)],
        guards=[_let_in],
        exception_handlers={Exception: answer},
        lifespan=[_running],
        logging_config=None,
        openapi_config=docs.make_openapi_config(settings),
        plugins=[RawJson()],
        state=State({STATE: resources, GATE: resources.gate}),
    )
    if not resources.gate.is_open:
        _describe_access(app)
    return app


@asynccontextmanager
async def _running(app: Litestar) -> AsyncIterator[None]:
    resources: Resources = app.state[STATE]
    await asyncio.to_thread(resources.gate.start)
    resources.committer.start()
    try:
        yield
    finally:
        await asyncio.to_thread(resources.committer.stop)  # its thread may still answer requests on this loop
        resources.gate.stop()
        resources.readiness.close()
        resources.engine.dispose()
