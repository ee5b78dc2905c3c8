"""`/pauses`: hold deliveries back at run time, everywhere, for a topic or over a channel."""

from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from litestar import Request, Router, delete, get, put
from litestar.params import PathParameter

from herald.api.http.bodies import read_ignored
from herald.api.http.openapi import documented, takes
from herald.api.http.parameters import only_query
from herald.api.http.problems import ProblemError, field_problem
from herald.api.http.resources import resources_of
from herald.api.http.writes import in_transaction, read_optional
from herald.api.shapes.requests import PauseRequest
from herald.outbox.moves.pauses import Pause, ScopeError, list_pauses, pause, resume, scopes

_DECODER = msgspec.json.Decoder(PauseRequest)
Scope = Annotated[
    str, PathParameter(description="`all`, `topic:<name>` or `channel:<name>`", schema_extra={"enum": scopes()})
]


class Pauses(msgspec.Struct, frozen=True, kw_only=True):
    """Oldest first."""

    items: list[Pause]


class Resumed(msgspec.Struct, frozen=True, kw_only=True):
    """It is not paused; `was_paused` tells whether it was."""

    scope: str
    was_paused: bool


@get(
    "/", summary="List what is paused", sync_to_thread=True, before_request=only_query(), responses=documented(400, 503)
)
def pauses(request: Request[Any, Any, Any]) -> Pauses:
    """List what is paused now."""
    with resources_of(request).transaction() as connection:
        return Pauses(items=list_pauses(connection))


@put(
    "/{what:str}",
    summary="Pause",
    before_request=only_query(),
    operation_class=takes(PauseRequest, is_optional=True),
    responses=documented(400, 404, 413, 415, 503),
)
async def pause_scope(request: Request[Any, Any, Any], what: Scope) -> Pause:
    """Hold deliveries back; what is under way ends as it would. Paused work stays due, and nothing of it is lost."""
    asked, _ = await read_optional(request, _DECODER, PauseRequest())
    try:
        return await in_transaction(request, lambda connection: pause(connection, what, reason=asked.reason))
    except ScopeError as error:
        raise _unknown(error) from None


@delete(
    "/{what:str}",
    summary="Resume",
    status_code=200,
    before_request=only_query(),
    responses=documented(400, 404, 413, 503),
)
async def resume_scope(request: Request[Any, Any, Any], what: Scope) -> Resumed:
    """Let deliveries go on."""
    await read_ignored(request, max_bytes=resources_of(request).settings.max_body)
    try:
        was_paused = await in_transaction(request, lambda connection: resume(connection, what))
        return Resumed(scope=what, was_paused=was_paused)
    except ScopeError as error:
        raise _unknown(error) from None


def _unknown(error: ScopeError) -> ProblemError:
    return field_problem("what", str(error), HTTPStatus.NOT_FOUND)


router = Router("/pauses", route_handlers=[pauses, pause_scope, resume_scope], tags=["pauses"])
