"""The application: its routes, its errors, its documentation."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, cast

from litestar import Litestar, get
from litestar.datastructures import State
from litestar.response import Redirect
from litestar.types import LifeSpanReceive, LifeSpanScope, LifeSpanSend, Message, Receive, Scope, Send

from herald.api.http.operations import RawJson
from herald.api.http.problems import answer
from herald.api.http.resources import STATE, Resources
from herald.api.routes import dead_letters, docs, health, messages, notifications, pauses

_NO_METHOD = "NONE"
_INSTEAD: dict[object, str] = {"HEAD": "GET", "OPTIONS": _NO_METHOD}


@get("/", include_in_schema=False, sync_to_thread=False)
def root() -> Redirect:
    """A person who opens the address finds the documentation."""
    return Redirect(docs.PATH)


class Herald(Litestar):
    """Litestar, HEAD wherever there is GET, and OPTIONS that names every method of its path.

    HEAD is answered as GET is, without the body. Litestar's own OPTIONS knows of several handlers of a path only the
    first: here the refusal of a method that no path has becomes the answer.
    """

    def __call__(
        self,
        scope: Scope | LifeSpanScope,
        receive: Receive | LifeSpanReceive,
        send: Send | LifeSpanSend,
    ) -> Coroutine[Any, Any, None]:
        """Answer a request; nearly all are handed on without a coroutine of their own."""
        instead = _INSTEAD.get(scope.get("method"))
        if instead is None:
            return super().__call__(scope, receive, send)
        asked = cast("Scope", {**scope, "method": instead})
        return super().__call__(asked, receive, _without_body(cast("Send", send), instead))


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
    areas = (notifications, messages, dead_letters, pauses, health)
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
