"""uvicorn, with limits."""

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import uvicorn

from herald.api.http.door import Door
from herald.api.http.limits import BACKLOG
from herald.api.http.protocol import LimitedProtocol

GRACE = 5  # seconds that open requests get to finish


def make_server(app: Callable[..., Any], door: Door, *, host: str, port: int) -> uvicorn.Server:
    """A server that `run` runs until SIGTERM or SIGINT."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        interface="asgi3",  # uvicorn would take what is no coroutine function for another one
        http=cast("Any", partial(LimitedProtocol, door)),
        ws="none",
        backlog=BACKLOG,
        access_log=False,
        log_config=None,
        proxy_headers=False,  # no answer depends on the caller's address; the middleware costs every request
        server_header=False,
        timeout_graceful_shutdown=GRACE,
    )
    return uvicorn.Server(config)
