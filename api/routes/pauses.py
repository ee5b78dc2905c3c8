"""`/pauses`: hold deliveries back at run time, everywhere, for a topic or over a channel."""

from typing import Annotated, Any, cast

import msgspec
from litestar import Router, delete, put
from litestar.openapi.spec import Parameter
from litestar.params import PathParameter

from herald.api.http.bodies import read_ignored, read_optional
from herald.api.http.gate import actor_of, key_of
from herald.api.http.operations import described, query
from herald.api.http.parameters import only_query
from herald.api.http.problems import HttpRequest
from herald.api.http.resources import in_transaction
from herald.api.shapes.requests import PauseRequest
from herald.api.shapes.schemas import SCOPE, reference
from herald.outbox.moves.pauses import Pause, list_pauses, pause, resume

PATH = "/{what:str}"
Scope = Annotated[str, PathParameter()]
WHAT = Parameter(  # instead of what Litestar finds in the signature
    "what",
    "path",
    required=True,
    description="`all`, `topic:<name>` or `channel:<name>`",
    schema=cast("Any", reference(SCOPE)),
)


class Pauses(msgspec.Struct, frozen=True, kw_only=True):
    """Oldest first."""

    items: list[Pause]


class Resumed(msgspec.Struct, frozen=True, kw_only=True):
    """It is not paused; `was_paused` tells whether it was."""

    scope: str
    was_paused: bool


@query("/", "List what is paused")
async def get_pauses(request: HttpRequest) -> Pauses:
    """List what is paused now."""
    return Pauses(items=await in_transaction(request, list_pauses))


@put(
    before_request=only_query(), **described(PATH, "Pause", 413, parameters=[WHAT], body=PauseRequest, is_optional=True)
)
async def pause_scope(request: HttpRequest, what: Scope) -> Pause:
    """Hold deliveries back; what is under way ends as it would. Paused work stays due, and nothing of it is lost."""
    asked, _ = await read_optional(request, PauseRequest)
    return await in_transaction(request, pause, what, reason=asked.reason, actor=actor_of(request))


@delete(status_code=200, before_request=only_query(), **described(PATH, "Resume", 413, parameters=[WHAT]))
async def resume_scope(request: HttpRequest, what: Scope) -> Resumed:
    """Let deliveries go on."""
    await read_ignored(request)
    key_of(request)  # it may have been revoked while the body came
    return Resumed(scope=what, was_paused=await in_transaction(request, resume, what))


router = Router("/pauses", route_handlers=[get_pauses, pause_scope, resume_scope], tags=["pauses"])
