"""Is it alive, is it ready: for supervisors and load balancers."""

import asyncio
from pathlib import Path
from typing import Any

import structlog
from litestar import Request, Router, get
from litestar.concurrency import sync_to_thread
from sqlalchemy import Engine, text
from sqlalchemy.exc import ProgrammingError, SQLAlchemyError

from api.problems import unavailable
from api.resources import Resources, resources_of

PATIENCE = 2.0  # seconds the database may take to answer
_log = structlog.get_logger()


@get("/live")
async def live() -> dict[str, str]:
    """The event loop turns; nothing else is looked at, so no outage elsewhere restarts this process."""
    return {"status": "live"}


@get("/ready")
async def ready(request: Request[Any, Any, Any]) -> dict[str, str]:
    """200 when a request would be served now, 503 naming what is missing."""
    missing = await _missing(resources_of(request))
    if missing:
        _log.warning("not_ready", missing=missing)
        detail = f"not ready: {'; '.join(missing)}"
        raise unavailable(detail)
    return {"status": "ready"}


async def _missing(resources: Resources) -> list[str]:
    missing = [] if resources.committer.is_alive else ["the committer is not running"]
    missing += [f"{name} keeps ending" for name in _troubled(resources.settings.supervision)]
    try:
        await asyncio.wait_for(sync_to_thread(_ask, resources.engine), PATIENCE)
    except TimeoutError:
        missing.append(f"the database did not answer within {PATIENCE:g} s")
    except ProgrammingError:
        missing.append("the database has no tables: run `herald migrate`")
    except SQLAlchemyError:
        missing.append("the database does not answer")
    return missing


def _troubled(report: Path | None) -> list[str]:
    """The processes that the supervisor has started five times in a row without success."""
    return report.read_text().split() if report is not None and report.exists() else []


def _ask(engine: Engine) -> None:
    with engine.connect() as connection:
        connection.execute(text("SELECT FROM messages LIMIT 0"))


router = Router("/health", route_handlers=[live, ready], include_in_schema=False)
