"""`/dead-letters`: what was given up, or whose outcome nobody knows, and what a person decides about it."""

from typing import Any

import msgspec
from litestar import Request, Router, get

from herald.api.http.bodies import explained
from herald.api.http.openapi import documented, filtered
from herald.api.http.parameters import (
    DEFAULT_LIMIT,
    Cursor,
    Id,
    Limit,
    from_cursor,
    only_query,
    parse_id,
    to_cursor,
)
from herald.api.http.readers import a_turn
from herald.api.http.resources import resources_of
from herald.api.http.writes import in_transaction
from herald.api.routes.decisions import discard_many, discard_one, not_there, requeue_one
from herald.api.routes.requeues import job, jobs, requeue_many, stop
from herald.outbox.desk.filters import Filter
from herald.outbox.desk.looking import DeadLetter, Group, find_dead_letter, list_dead_letters, list_groups
from herald.outbox.postgres.queries import EventState, events_of

FILTERS = tuple(Filter.__struct_fields__)


class Groups(msgspec.Struct, frozen=True, kw_only=True):
    """By error, the largest first."""

    items: list[Group]


class DeadLetterPage(msgspec.Struct, frozen=True, kw_only=True):
    """Newest message first; `cursor` leads to the next page and is null on the last one."""

    items: list[DeadLetter]
    cursor: str | None


class DeadLetterHistory(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter, and what happened to it, oldest first."""

    letter: DeadLetter
    events: list[EventState]


def _filter(request: Request[Any, Any, Any]) -> Filter:
    given = {name: value for name, value in request.query_params.items() if name in FILTERS}
    try:
        return msgspec.convert(given, Filter)  # strictly: a number is no date
    except msgspec.ValidationError as error:
        raise explained(error) from None


@get(
    "/groups",
    summary="Group them by error",
    before_request=only_query(*FILTERS),
    operation_class=filtered(Filter),
    responses=documented(400, 503),
)
async def groups(request: Request[Any, Any, Any]) -> Groups:
    """Group what is on the desk by error, topic, channel and status."""
    chosen = _filter(request)
    async with a_turn(request):
        return Groups(items=await in_transaction(request, lambda connection: list_groups(connection, chosen)))


@get(
    "/",
    summary="List them",
    before_request=only_query(*FILTERS, "limit", "cursor"),
    operation_class=filtered(Filter),
    responses=documented(400, 503),
)
async def letters(
    request: Request[Any, Any, Any], limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> DeadLetterPage:
    """List what is on the desk, newest message first."""
    chosen, before = _filter(request), None if cursor is None else from_cursor(cursor)
    async with a_turn(request):
        items, has_more = await in_transaction(
            request, lambda connection: list_dead_letters(connection, chosen, limit=limit, before=before)
        )
    return DeadLetterPage(items=items, cursor=to_cursor(items[-1].id) if has_more else None)


@get(
    "/{id:str}",
    summary="Look at one",
    sync_to_thread=True,
    before_request=only_query(),
    responses=documented(400, 404, 409, 503),
)
def letter(request: Request[Any, Any, Any], id: Id) -> DeadLetterHistory:  # noqa: A002 - the caller's word
    """Show a dead letter and its history."""
    message_id = parse_id(id)
    resources = resources_of(request)
    with resources.transaction() as connection:
        found = find_dead_letter(connection, message_id)
        if found is None:
            raise not_there(connection, message_id)
    with resources.engine.connect() as reading:
        return DeadLetterHistory(letter=found, events=list(events_of(reading, message_id)))


router = Router(
    "/dead-letters",
    route_handlers=[groups, letters, letter, requeue_one, discard_one, requeue_many, jobs, job, stop, discard_many],
    tags=["dead letters"],
)
