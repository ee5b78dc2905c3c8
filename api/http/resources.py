"""What the handlers use: built once by the process, found again by each request."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Concatenate, ParamSpec, TypeVar, cast
from uuid import UUID

from litestar.concurrency import sync_to_thread
from sqlalchemy import Connection as Pooled
from sqlalchemy import Engine

from herald.api.http.ends import Ends
from herald.api.http.gate import Gate, key_of
from herald.api.http.headers import request_key_of
from herald.api.http.problems import HttpRequest, unavailable
from herald.api.http.totals import Total
from herald.outbox.acceptance.committer import Committer
from herald.outbox.acceptance.idempotency import Receipt, RequestKey, find, remember
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.readiness import Readiness
from herald.outbox.settings import Settings

P = ParamSpec("P")
T = TypeVar("T")
Work = Callable[[Connection], Sequence[UUID] | None]

STATE = "resources"
HELD = "body_bytes"  # in a request's state: what it has taken of the budget
LARGE_AT_ONCE = 2  # large bodies that are checked and decoded, each of which makes copies of it
PATIENCE = 1.0  # seconds that a list waits for its turn


class Budget:
    """How many bytes of bodies the port's processes hold at once, from their arrival until they are answered.

    A body that does not fit is refused and may come again; one that is larger than all of the budget passes alone.
    Used by one event loop of each process.
    """

    def __init__(self, size: int, total: Total | None = None) -> None:
        self.size = size
        self._total = total or Total()

    @property
    def held(self) -> int:
        """By all of them."""
        return self._total.all

    def take(self, count: int, *, own: int = 0) -> bool:
        """Whether `count` bytes more fit, beside `own` that their owner holds already; counts them if so."""
        held = self.held
        if held > own and held + count > self.size:
            return False
        self._total.own += count
        return True

    def give_back(self, count: int) -> None:
        """What was taken is held no longer."""
        self._total.own -= count

    def hold(self, state: dict[str, Any], count: int) -> bool:
        """Take `count` bytes more for a request with this state; whether they fit."""
        own = state.get(HELD, 0)
        fits = self.take(count, own=own)
        state[HELD] = own + count if fits else own
        return fits

    def release(self, state: dict[str, Any]) -> None:
        """Give back what was held for a request with this state."""
        if HELD in state:
            self.give_back(state.pop(HELD))


@dataclass(slots=True)
class Resources:
    """One per application."""

    settings: Settings
    committer: Committer
    engine: Engine
    budget: Budget
    large: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(LARGE_AT_ONCE))
    lists: asyncio.Semaphore = field(init=False)
    gate: Gate = field(init=False)
    ends: Ends = field(init=False)
    readiness: Readiness = field(init=False)

    def __post_init__(self) -> None:
        """Lists leave at least one connection of the pool to everything else, where there is another one."""
        self.gate, self.readiness = Gate(self.settings), Readiness(self.settings)
        self.ends = Ends(self.engine)
        self.lists = asyncio.Semaphore(max(1, min(self.settings.readers, self.settings.pool_size - 1)))


def resources_of(request: HttpRequest) -> Resources:
    """A plain look-up: Litestar's dependencies cost the hot path a validation per request."""
    found: Resources = request.app.state[STATE]
    return found


@contextmanager
def room_for(request: HttpRequest, size: int) -> Iterator[None]:
    """Hold that many bytes more, beside those of the request's own body. Raises ProblemError: 503."""
    budget = resources_of(request).budget
    if not budget.take(size, own=request.scope["state"].get(HELD, 0)):
        raise unavailable("too many large bodies at once, try again")
    try:
        yield
    finally:
        budget.give_back(size)


@asynccontextmanager
async def a_turn(request: HttpRequest) -> AsyncIterator[None]:
    """Lists and groups read many rows: wait for a turn, a second at most. Raises ProblemError: 503."""
    lists = resources_of(request).lists
    try:
        await asyncio.wait_for(lists.acquire(), PATIENCE)
    except TimeoutError:
        raise unavailable("as many lists are being read as may be at once, try again") from None
    try:
        yield
    finally:
        lists.release()


async def read(
    request: HttpRequest, query: Callable[Concatenate[Pooled, P], T], *values: P.args, **named: P.kwargs
) -> T:
    """What a query finds, asked in a thread over a connection of the pool."""
    engine = resources_of(request).engine

    def ask() -> T:
        with engine.begin() as pooled:
            return query(pooled, *values, **named)

    return await sync_to_thread(ask)


async def in_transaction(
    request: HttpRequest, work: Callable[Concatenate[Connection, P], T], *values: P.args, **named: P.kwargs
) -> T:
    """Do it in a thread, over a connection of the pool, and commit; rolled back on an error."""

    def do(pooled: Pooled) -> T:
        return work(cast("Connection", pooled.connection.driver_connection), *values, **named)

    return await read(request, do)


async def once(request: HttpRequest, body: bytes, work: Work) -> Receipt:
    """Do it and commit, once per Idempotency-Key, or answer with the ids of the first time.

    Work that is long is done in parts: after one that returns None, its next has a transaction of its own. What it
    raises is not remembered. Raises ProblemError, KeyInUseError, KeyReusedError and what the work raises.
    """
    key_of(request)  # it may have been revoked while the body came
    request_key, ttl = await request_key_of(request, body), resources_of(request).settings.idempotency_ttl
    receipt = None
    while receipt is None:
        receipt = await in_transaction(request, _once, request_key, work, ttl)
    return receipt


def _once(connection: Connection, request_key: RequestKey | None, work: Work, ttl: float) -> Receipt | None:
    known = request_key and find(connection, request_key)
    if known:
        return known
    ids = work(connection)
    if ids is None:
        return None
    return remember(connection, request_key, ids, ttl=ttl) if request_key else Receipt(ids)
