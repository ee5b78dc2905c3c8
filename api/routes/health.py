"""Is it alive, is it ready: for supervisors and load balancers.

Whether a request would be served now is asked over a connection of its own: where the pool's are all in use, the
database is not at fault, and a load balancer that took this process out for it would make matters worse.
"""

import asyncio

import structlog
from litestar import Router, get

from herald.api.http.problems import HttpRequest, unavailable
from herald.api.http.resources import Resources, resources_of
from herald.outbox.postgres.readiness import LATE, PATIENCE
from herald.outbox.watched.life import LIFE

_log = structlog.get_logger()


@get("/live")
async def live() -> dict[str, str]:
    """The event loop turns and no thread is stuck; no server is asked, so no outage elsewhere restarts this process."""
    if stuck := LIFE.stuck():
        _log.error("not_live", missing=stuck)
        detail = f"stuck: {', '.join(stuck)}"
        raise unavailable(detail)
    return {"status": "live"}


@get("/ready")
async def ready(request: HttpRequest) -> dict[str, str]:
    """200 when a request would be served now, 503 when not; where no key is needed, naming what is missing."""
    missing = await _missing(request)
    if missing:
        _log.warning("not_ready", missing=missing)
        is_told = resources_of(request).gate.is_open
        raise unavailable(f"not ready: {'; '.join(missing) if is_told else 'the log says why'}")
    return {"status": "ready"}


async def _missing(request: HttpRequest) -> list[str]:
    resources = resources_of(request)
    missing, asking = lacking_here(resources), resources.readiness.ask()
    try:
        lacking = await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(asking)), PATIENCE)
    except TimeoutError:
        lacking = LATE
    return missing if lacking is None else [*missing, lacking]


def lacking_here(resources: Resources) -> list[str]:
    """What keeps this process from its work, whatever the database says."""
    missing = [] if resources.committer.is_alive else ["the committer is not running"]
    report = resources.settings.supervision  # names what the supervisor has started five times in a row in vain
    troubled = report.read_text().split() if report is not None and report.exists() else []
    return missing + [f"{name} keeps ending" for name in troubled]


router = Router("/health", route_handlers=[live, ready], include_in_schema=False)
