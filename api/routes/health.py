"""Is it alive, is it ready: for supervisors and load balancers.

Whether a request would be served now is asked over a connection of its own: where the pool's are all in use, the
database is not at fault, and a load balancer that took this process out for it would make matters worse.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import structlog
from litestar import Router, get
from sqlalchemy.exc import DBAPIError

from herald.api.http.problems import HttpRequest, unavailable
from herald.api.http.resources import resources_of
from herald.outbox.postgres.connections import reason
from herald.outbox.postgres.driver import errors
from herald.outbox.postgres.engine import make_engine
from herald.outbox.settings import Settings

STATE = "readiness"
PATIENCE = 2.0  # seconds the database may take to answer
_log = structlog.get_logger()


@get("/live")
async def live() -> dict[str, str]:
    """The event loop turns; nothing else is looked at, so no outage elsewhere restarts this process."""
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
    missing = [] if resources.committer.is_alive else ["the committer is not running"]
    report = resources.settings.supervision  # names what the supervisor has started five times in a row in vain
    troubled = report.read_text().split() if report is not None and report.exists() else []
    missing += [f"{name} keeps ending" for name in troubled]
    readiness: Readiness = request.app.state[STATE]
    lacking = await readiness.missing()
    return missing if lacking is None else [*missing, lacking]


class Readiness:
    """However many ask at once, the database is asked once."""

    def __init__(self, settings: Settings) -> None:
        self._engine = make_engine(settings.model_copy(update={"pool_size": 1}), "herald-readiness")
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="readiness")
        self._asking: asyncio.Future[str | None] | None = None

    async def missing(self) -> str | None:
        """What the database lacks, None where it is ready."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.get_running_loop().run_in_executor(self._executor, self._ask)
        try:
            return await asyncio.wait_for(asyncio.shield(self._asking), PATIENCE)
        except TimeoutError:
            return f"the database did not answer within {PATIENCE:g} s"

    def close(self) -> None:
        """Ask no more."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        self._engine.dispose()

    def _ask(self) -> str | None:
        try:
            with self._engine.connect() as connection:
                connection.exec_driver_sql("SELECT FROM messages LIMIT 0")
        except DBAPIError as error:
            return _lacking(error)
        return None


def _lacking(error: DBAPIError) -> str:
    """A server that answers says why it does not; where none is, no address is told to whoever asks."""
    if isinstance(error.orig, errors.InsufficientPrivilege):
        return f"the database refuses: {reason(error)}"
    if isinstance(error.orig, errors.ProgrammingError):
        return "the database has no tables: run `herald migrate`"
    _log.warning("database_unavailable", reason=reason(error))
    _, said, why = str(error.orig).partition("FATAL:")
    return f"the database refuses: {why.strip()}" if said else "the database does not answer"


router = Router("/health", route_handlers=[live, ready], include_in_schema=False)
