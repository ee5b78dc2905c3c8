"""Lists and groups read many rows: a few at a time, so that everything else finds a connection and a thread."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from litestar import Request

from herald.api.http.problems import unavailable
from herald.outbox.settings import Settings

STATE = "readers"
PATIENCE = 1.0  # seconds that one waits for its turn


def make_readers(settings: Settings) -> asyncio.Semaphore:
    """Of the pool at least one connection is left to others, where there is another one."""
    return asyncio.Semaphore(max(1, min(settings.readers, settings.pool_size - 1)))


@asynccontextmanager
async def a_turn(request: Request[Any, Any, Any]) -> AsyncIterator[None]:
    """Wait for a turn, a second at most. Raises ProblemError: 503."""
    readers: asyncio.Semaphore = request.app.state[STATE]
    try:
        await asyncio.wait_for(readers.acquire(), PATIENCE)
    except TimeoutError:
        raise unavailable("as many lists are being read as may be at once, try again") from None
    try:
        yield
    finally:
        readers.release()
