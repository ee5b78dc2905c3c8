"""The application: its routes, its errors, its documentation."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

from litestar import Litestar, get
from litestar.datastructures import State
from litestar.response import Redirect

from herald.api.http import readers
from herald.api.http.openapi import RawJson
from herald.api.http.problems import HANDLERS
from herald.api.http.readers import make_readers
from herald.api.http.readiness import Readiness
from herald.api.http.resources import STATE, Resources
from herald.api.routes import dead_letters, docs, health, messages, notifications, pauses

_NO_METHOD = "NONE"
_INSTEAD = {"HEAD": "GET", "OPTIONS": _NO_METHOD}


@get("/", include_in_schema=False, sync_to_thread=False)
def root() -> Redirect:
    """A person who opens the address finds the documentation."""
    return Redirect(docs.PATH)


class Herald(Litestar):
    """Litestar, HEAD wherever there is GET, and OPTIONS that names every method of its path.

    HEAD is answered as GET is, without the body. Litestar's own OPTIONS knows of several handlers of a path only the
    first: here the refusal of a method that no path has becomes the answer.
    """

    def __call__(self, scope: Any, receive: Any, send: Any) -> Coroutine[Any, Any, None]:  # noqa: ANN401 - HTTP's, or the lifespan's
        """Answer a request; nearly all are handed on without a coroutine of their own."""
        instead = _INSTEAD.get(scope["method"]) if scope["type"] == "http" else None
        return (
            super().__call__(scope, receive, send) if instead is None else self._answer(instead, scope, receive, send)
        )

    async def _answer(self, instead: str, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - as above
        empty = instead != _NO_METHOD

        async def without_body(message: Any) -> None:  # noqa: ANN401 - what a server takes
            nonlocal empty
            if message["type"] == "http.response.body":
                message = {**message, "body": b""} if empty else message
            elif instead == _NO_METHOD and message["status"] == HTTPStatus.METHOD_NOT_ALLOWED:
                allow = [(name, value) for name, value in message["headers"] if name == b"allow"]
                message, empty = {**message, "status": HTTPStatus.NO_CONTENT.value, "headers": allow}, True
            await send(message)

        asked: Any = {**scope, "method": instead}
        await super().__call__(asked, receive, without_body)


def make_app(resources: Resources) -> Litestar:
    """The ASGI application; its lifespan starts and stops the committer and closes the pool."""
    settings = resources.settings
    return Herald(
        route_handlers=[
            root,
            notifications.router,
            messages.router,
            dead_letters.router,
            pauses.router,
            health.router,
        ],
        exception_handlers=HANDLERS,
        lifespan=[_running],
        logging_config=None,
        openapi_config=docs.make_openapi_config(settings),
        plugins=[RawJson()],
        state=State({STATE: resources, readers.STATE: make_readers(settings), health.STATE: Readiness(settings)}),
    )


@asynccontextmanager
async def _running(app: Litestar) -> AsyncIterator[None]:
    resources: Resources = app.state[STATE]
    resources.committer.start()
    try:
        yield
    finally:
        await asyncio.to_thread(resources.committer.stop)  # its thread may still answer requests on this loop
        readiness: Readiness = app.state[health.STATE]
        readiness.close()
        resources.engine.dispose()
