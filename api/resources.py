"""What the handlers use: built once by the process, found again by each request."""

from dataclasses import dataclass
from typing import Any

from litestar import Request
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


def resources_of(request: Request[Any, Any, Any]) -> Resources:
    """A plain look-up: Litestar's dependencies cost the hot path a validation per request."""
    found: Resources = request.app.state[STATE]
    return found
