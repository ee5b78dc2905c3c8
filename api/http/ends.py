"""Callers that wait until a message is over: `?wait=10`.

While there are any, the database is asked for all of them at once, in a thread; nobody else pays for it.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from time import monotonic
from typing import Annotated
from uuid import UUID

import msgspec
import structlog
from litestar.concurrency import sync_to_thread
from sqlalchemy import Engine, text

from herald.api.shapes.answers import Ended
from herald.outbox.message.state import FINAL
from herald.outbox.postgres.connections import reason

LONGEST = 30  # seconds that a caller may wait
LOOK = 0.008  # seconds between two looks
MOST = 2_000  # messages waited for at once by one process; who comes then is answered as it stands
REST = 1.0  # times what a look took; where that is longer, many wait or the database is slow
_OVER = text("""
SELECT id, status, reason, reason_code FROM messages WHERE id = ANY (CAST(:ids AS uuid[])) AND status = ANY (:final)
""")
_log = structlog.get_logger()


class Wait(msgspec.Struct, frozen=True):
    """How long a caller waits for the end."""

    wait: (
        Annotated[int, msgspec.Meta(ge=1, le=LONGEST, description="seconds to wait for it to be over, at most")] | None
    ) = None


class Ends:
    """Used by one event loop."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._waiting: defaultdict[UUID, set[asyncio.Future[Ended | None]]] = defaultdict(set)
        self._looking: asyncio.Task[None] | None = None
        self._is_closing = False

    async def ended(self, message_id: UUID, seconds: float | None) -> Ended | None:
        """What became of it; None where it is not over by then, or where nobody can tell: what it is is asked anew."""
        if seconds is None or self._is_closing or len(self._waiting) >= MOST:
            return None
        told = asyncio.get_running_loop().create_future()
        self._waiting[message_id].add(told)
        if self._looking is None:
            self._looking = asyncio.create_task(self._look_on())
        try:
            with suppress(TimeoutError):
                return await asyncio.wait_for(told, seconds)
        finally:
            self._waiting[message_id].discard(told)
            if not self._waiting[message_id]:
                del self._waiting[message_id]
        return None

    def close(self) -> None:
        """Answer all that wait, as it stands."""
        self._is_closing = True
        for waiting in self._waiting.values():
            _tell(waiting, None)

    async def _look_on(self) -> None:
        try:
            while self._waiting:
                began = monotonic()
                for one in await sync_to_thread(self.look, [*self._waiting]):
                    _tell(self._waiting.get(one.id, ()), one)
                await asyncio.sleep(max(LOOK, REST * (monotonic() - began)))
        except Exception as error:  # noqa: BLE001 - whatever it is, what was accepted is accepted
            _log.warning("not_looked", reason=reason(error), consequence="those who wait are answered as it stands")
            for waiting in self._waiting.values():
                _tell(waiting, None)
        finally:
            self._looking = None

    def look(self, ids: Sequence[UUID]) -> list[Ended]:
        """Those of them that are over, as the database has it; in any thread. Raises what SQLAlchemy does."""
        with self._engine.begin() as connection:
            rows = connection.execute(_OVER, {"ids": list(map(str, ids)), "final": list(FINAL)})
            return [Ended(**row) for row in rows.mappings()]


def _tell(waiting: Iterable[asyncio.Future[Ended | None]], ended: Ended | None) -> None:
    for told in waiting:
        if not told.done():
            told.set_result(ended)
