"""What the handlers use: built once by the process, found again by each request."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from litestar import Request
from sqlalchemy import Engine

from herald.api.http.budget import HELD, Budget
from herald.api.http.problems import unavailable
from herald.outbox.acceptance.committer import Committer
from herald.outbox.postgres.driver import Connection
from herald.outbox.settings import Settings

STATE = "resources"
DEFAULT_BUDGET = 67_108_864  # bytes
LARGE_AT_ONCE = 2  # large bodies that are checked and decoded, each of which makes copies of it


@dataclass(frozen=True, slots=True)
class Resources:
    """One per application."""

    settings: Settings
    committer: Committer
    engine: Engine
    budget: Budget = field(default_factory=lambda: Budget(DEFAULT_BUDGET))
    large: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(LARGE_AT_ONCE))

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A connection of the pool; committed at the end, rolled back on an error. Raises SQLAlchemyError."""
        with self.engine.begin() as pooled:
            yield cast("Connection", pooled.connection.driver_connection)


@contextmanager
def room_for(request: Request[Any, Any, Any], size: int) -> Iterator[None]:
    """Hold that many bytes more, beside those of the request's own body. Raises ProblemError: 503."""
    resources = resources_of(request)
    if not resources.budget.take(size, own=request.scope["state"].get(HELD, 0)):
        raise unavailable("too many large bodies at once, try again")
    try:
        yield
    finally:
        resources.budget.give_back(size)


def resources_of(request: Request[Any, Any, Any]) -> Resources:
    """A plain look-up: Litestar's dependencies cost the hot path a validation per request."""
    found: Resources = request.app.state[STATE]
    return found
