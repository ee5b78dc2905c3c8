"""The application: its routes, its errors, its documentation."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, cast

from litestar import Litestar, Request, Response, get
from litestar.datastructures import State
from litestar.response import Redirect
from litestar.types import HTTPScope, LifeSpanReceive, LifeSpanScope, LifeSpanSend, Message, Receive, Scope, Send

from herald.api.http.headers import told
from herald.api.http.operations import RawJson
from herald.api.http.origins import refuse_foreign
from herald.api.http.problems import HttpRequest, ProblemError, answer
from herald.api.http.resources import STATE, Resources
from herald.api.routes import dead_letters, docs, groups, health, messages, notifications, pauses

Handler = Callable[[HttpRequest], Awaitable[Response[Any]]]
# What is asked all day is answered without Litestar's layers: 24 µs of the event loop instead of 38 (measured)
_AT_ONCE: dict[tuple[object, object], Handler] = {
    ("POST", "/notifications"): notifications.accept_notification.fn,
    ("POST", "/messages"): messages.accept_message.fn,
}
_NO_METHOD = "NONE"
_INSTEAD: dict[object, str] = {"HEAD": "GET", "OPTIONS": _NO_METHOD}


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
        method = scope.get("method")
        if isinstance(method, str):
            try:
                refuse_foreign(method, told(cast("HTTPScope", scope)))
            except ProblemError as problem:
                refused = _refuse(problem)
                return self._answer(refused, cast("Scope", scope), cast("Receive", receive), cast("Send", send))
        at_once = _AT_ONCE.get((method, scope.get("path")))
        if at_once:
            return self._answer(at_once, cast("Scope", scope), cast("Receive", receive), cast("Send", send))
        instead = _INSTEAD.get(method)
        if instead is None:
            return super().__call__(scope, receive, send)
        asked = cast("Scope", {**scope, "method": instead})
        return super().__call__(asked, receive, _without_body(cast("Send", send), instead))

    async def _answer(self, handler: Handler, scope: Scope, receive: Receive, send: Send) -> None:
        """As Litestar would: the same handler, and the same problems."""
        scope["app"] = scope["litestar_app"] = self
        request = _PlainRequest(scope, receive, send)
        try:
            response = await handler(request)
        except Exception as error:  # noqa: BLE001 - whatever ends a request becomes its problem
            response = answer(request, error)
        await response.to_asgi_response(app=None, request=request)(scope, receive, send)


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


def make_app(resources: Resources) -> Litestar:
    """The ASGI application; its lifespan starts and stops the committer and closes the pool."""
    settings = resources.settings
    areas = (notifications, messages, groups, dead_letters, pauses, health)
    return Herald(
        route_handlers=[root, *(area.router for area in areas)],
        exception_handlers={Exception: answer},
        lifespan=[_running],
        logging_config=None,
        openapi_config=docs.make_openapi_config(settings),
        plugins=[RawJson()],
        state=State({STATE: resources, health.STATE: health.Readiness(settings)}),
    )


@asynccontextmanager
async def _running(app: Litestar) -> AsyncIterator[None]:
    resources: Resources = app.state[STATE]
    readiness: health.Readiness = app.state[health.STATE]
    resources.committer.start()
    try:
        yield
    finally:
        await asyncio.to_thread(resources.committer.stop)  # its thread may still answer requests on this loop
        readiness.close()
        resources.engine.dispose()
