"""`/groups`: what was asked for together, counted by status and cancelled as one."""

from http import HTTPStatus
from uuid import UUID

from litestar import Response, Router

from herald.api.http.bodies import read_ignored
from herald.api.http.gate import actor_of, key_of, reach_of
from herald.api.http.operations import command, query
from herald.api.http.parameters import id_of, there
from herald.api.http.problems import TRY_AGAIN, HttpRequest, field_problem
from herald.api.http.resources import a_turn, once, read
from herald.api.shapes.answers import key_headers
from herald.outbox.moves.cancel import Reach, cancel_part
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.groups import GroupState, find_group

ROUNDS = 3  # what others hold is held for milliseconds, most often: it is looked at again at once


class _Cancelling:
    """Takes a group back, each call the next part of it; in rounds, as long as others hold some of it."""

    def __init__(self, group_id: UUID, *, reach: Reach, actor: str | None) -> None:
        self._group_id, self._reach, self._actor = group_id, reach, actor
        self._behind: UUID | None = None
        self._rounds = self._looked = self._held = 0

    def __call__(self, connection: Connection) -> list[UUID] | None:
        """None as long as something is left to do. Raises ProblemError: 404, or 409 once all else is cancelled."""
        if self._rounds == ROUNDS:
            detail = f"other transactions hold {self._held} of its messages; try again"
            raise field_problem("id", detail, HTTPStatus.CONFLICT, TRY_AGAIN)
        if self._behind is None:
            self._held = 0
        part = cancel_part(connection, self._group_id, behind=self._behind, reach=self._reach, actor=self._actor)
        self._looked, self._held = self._looked + part.looked, self._held + part.held
        self._behind = part.last
        if part.last is None:
            there(self._looked or None, "group", self._group_id)
        self._rounds += part.last is None
        return [self._group_id] if part.last is None and not self._held else None


@query("/{id:str}", "Look at one")
async def get_group(request: HttpRequest) -> GroupState:
    """Count the messages of a group by status."""
    return await _find(request)


@command("/{id:str}/cancel", "Cancel one")
async def cancel_group(request: HttpRequest) -> Response[GroupState]:
    """Cancel a group: all of its messages that were not tried yet. The answer counts what was, and what was too late.

    409 with Retry-After while other transactions hold some of it, once all else is cancelled.
    """
    cancelling = _Cancelling(id_of(request), reach=reach_of(request), actor=actor_of(request))
    await read_ignored(request)
    receipt = await once(request, b"", cancelling)
    return Response(await _find(request), headers=key_headers(receipt))


async def _find(request: HttpRequest) -> GroupState:
    group_id, key = id_of(request), key_of(request)
    topics = key.topics if key else None
    async with a_turn(request):
        return there(await read(request, find_group, group_id, topics=topics), "group", group_id)


router = Router("/groups", route_handlers=[get_group, cancel_group], tags=["groups"])
