"""Is it alive, is it ready: for supervisors and load balancers."""

from pathlib import Path
from typing import Any

import structlog
from litestar import Request, Router, get

from herald.api.http.problems import unavailable
from herald.api.http.readiness import Readiness
from herald.api.http.resources import resources_of

STATE = "readiness"
_log = structlog.get_logger()


@get("/live")
async def live() -> dict[str, str]:
    """The event loop turns; nothing else is looked at, so no outage elsewhere restarts this process."""
    return {"status": "live"}


@get("/ready")
async def ready(request: Request[Any, Any, Any]) -> dict[str, str]:
    """200 when a request would be served now, 503 naming what is missing."""
    missing = await _missing(request)
    if missing:
        _log.warning("not_ready", missing=missing)
        detail = f"not ready: {'; '.join(missing)}"
        raise unavailable(detail)
    return {"status": "ready"}


async def _missing(request: Request[Any, Any, Any]) -> list[str]:
    resources = resources_of(request)
    missing = [] if resources.committer.is_alive else ["the committer is not running"]
    missing += [f"{name} keeps ending" for name in _troubled(resources.settings.supervision)]
    readiness: Readiness = request.app.state[STATE]
    lacking = await readiness.missing()
    return missing if lacking is None else [*missing, lacking]


def _troubled(report: Path | None) -> list[str]:
    """The processes that the supervisor has started five times in a row without success."""
    return report.read_text().split() if report is not None and report.exists() else []


router = Router("/health", route_handlers=[live, ready], include_in_schema=False)
