"""`/dead-letters`: what was given up, or whose outcome nobody knows, and what a person decides about one."""

from http import HTTPStatus
from typing import Literal, NoReturn
from uuid import UUID

import msgspec
from litestar import Response, Router

from herald.api.http.bodies import read_json, read_optional
from herald.api.http.contents import sees_content, shown
from herald.api.http.gate import actor_of, key_for
from herald.api.http.operations import command, query
from herald.api.http.parameters import DEFAULT_LIMIT, Cursor, Limit, filters_of, from_cursor, id_of, to_cursor
from herald.api.http.problems import HttpRequest, field_problem
from herald.api.http.resources import a_turn, in_transaction, once, read, resources_of
from herald.api.routes.commands import check_edit
from herald.api.routes.many import (
    discard_dead_letters,
    get_requeue,
    get_requeues,
    requeue_dead_letters,
    stop_requeue,
)
from herald.api.shapes.answers import key_headers
from herald.api.shapes.requests import Discard, Requeue
from herald.outbox.desk.filters import Filter
from herald.outbox.desk.looking import DeadLetter, Group, find_dead_letter, list_dead_letters, list_groups
from herald.outbox.moves.decide import Edit, discard, requeue
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.queries import EventState, events_of
from herald.outbox.postgres.statements import find_one


class Wanted(Filter, frozen=True, kw_only=True):
    """Which dead letters are listed."""

    limit: Limit = DEFAULT_LIMIT
    cursor: Cursor | None = None


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


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """What became of it."""

    id: UUID
    status: Literal["pending", "discarded"]


@query("/groups", "Group them by error", filters=Filter)
async def get_dead_letter_groups(request: HttpRequest) -> Groups:
    """Group what is on the desk by error, topic, channel and status."""
    chosen = filters_of(request, Filter)
    key_for(request, chosen.topic)
    async with a_turn(request):
        return Groups(items=await in_transaction(request, list_groups, chosen))


@query("/", "List them", filters=Wanted)
async def get_dead_letters(request: HttpRequest) -> DeadLetterPage:
    """List what is on the desk, newest message first."""
    wanted = filters_of(request, Wanted)
    key, before = key_for(request, wanted.topic), from_cursor(wanted.cursor)
    async with a_turn(request):
        items, has_more = await in_transaction(request, list_dead_letters, wanted, limit=wanted.limit, before=before)
    return DeadLetterPage(
        items=[shown(one, key) for one in items], cursor=to_cursor(items[-1].id) if has_more else None
    )


@query("/{id:str}", "Look at one", problems=[409])
async def get_dead_letter(request: HttpRequest) -> DeadLetterHistory:
    """Show a dead letter and its history."""
    message_id = id_of(request)
    found = await in_transaction(request, _letter, message_id)
    key = key_for(request, found.topic)
    events = await read(request, events_of, message_id, with_data=sees_content(key))
    return DeadLetterHistory(letter=shown(found, key), events=list(events))


@command("/{id:str}/requeue", "Try one again", status=202, body=Requeue, is_optional=True)
async def requeue_dead_letter(request: HttpRequest) -> Response[Decided]:
    """Try a dead letter again, as it is or with new `data`; its attempts are counted anew."""
    message_id, settings = id_of(request), resources_of(request).settings
    asked, body = await read_optional(request, Requeue)
    actor = actor_of(request)

    def edit(connection: Connection) -> Edit | None:
        if not bytes(asked.data):
            return None
        found = _letter(connection, message_id)
        return check_edit(found.topic, found.key, bytes(asked.data), settings)

    def work(connection: Connection) -> list[UUID]:
        done = requeue(connection, [message_id], edit=edit(connection), actor=actor)
        return done or _refuse(connection, message_id)

    receipt = await once(request, body, work)
    return Response(Decided(id=message_id, status="pending"), headers=key_headers(receipt))


@command("/{id:str}/discard", "Give one up", body=Discard)
async def discard_dead_letter(request: HttpRequest) -> Response[Decided]:
    """Give a dead letter up for good, with a reason."""
    message_id = id_of(request)
    asked, body = await read_json(request, Discard)
    actor = actor_of(request)

    def work(connection: Connection) -> list[UUID]:
        done = discard(connection, [message_id], reason=asked.reason, actor=actor)
        return done or _refuse(connection, message_id)

    receipt = await once(request, body, work)
    return Response(Decided(id=message_id, status="discarded"), headers=key_headers(receipt))


def _letter(connection: Connection, message_id: UUID) -> DeadLetter:
    return find_dead_letter(connection, message_id) or _refuse(connection, message_id)


def _refuse(connection: Connection, message_id: UUID) -> NoReturn:
    """404 for what nobody knows, 409 for what is not on the desk."""
    row = find_one(connection, "SELECT status FROM messages WHERE id = %s", str(message_id))
    if row is None:
        raise field_problem("id", f"no message {message_id}", HTTPStatus.NOT_FOUND)
    raise field_problem("id", f"it is {row[0]}, not on the desk", HTTPStatus.CONFLICT)


router = Router(
    "/dead-letters",
    route_handlers=[
        get_dead_letter_groups,
        get_dead_letters,
        get_dead_letter,
        requeue_dead_letter,
        discard_dead_letter,
        requeue_dead_letters,
        get_requeues,
        get_requeue,
        stop_requeue,
        discard_dead_letters,
    ],
    tags=["dead letters"],
)
