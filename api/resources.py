"""What the handlers use: built once by the process, found again by each request."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

from litestar import Request
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class with a lower-case name
from sqlalchemy import Engine

from outbox.committer import Committer
from outbox.settings import Settings

STATE = "resources"


@dataclass(frozen=True, slots=True)
class Resources:
    """One per application."""

    settings: Settings
    committer: Committer
    engine: Engine

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A connection of the pool; committed at the end, rolled back on an error. Raises SQLAlchemyError."""
        with self.engine.begin() as pooled:
            yield cast("Connection", pooled.connection.driver_connection)


def resources_of(request: Request[Any, Any, Any]) -> Resources:
    """A plain look-up: Litestar's dependencies cost the hot path a validation per request."""
    found: Resources = request.app.state[STATE]
    return found
