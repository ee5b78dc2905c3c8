"""`/messages`: the general form, for any registered topic; `/notifications` does by it what both have alike."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Literal, TypeVar
from uuid import UUID

import msgspec
from litestar import Response, Router
from sqlalchemy import Connection as Pooled

from herald.api.http.bodies import read_ignored, read_json
from herald.api.http.contents import shown
from herald.api.http.ends import Wait
from herald.api.http.gate import actor_of, key_for, key_of, reach_of
from herald.api.http.headers import header, request_key_of, traceparent
from herald.api.http.operations import accept, command, query
from herald.api.http.parameters import filters_of, id_of, there
from herald.api.http.problems import IDEMPOTENCY_KEY, TRY_AGAIN, HttpRequest, field_problem
from herald.api.http.requests import name
from herald.api.http.resources import once, read, resources_of
from herald.api.routes.commands import request_message
from herald.api.shapes.answers import Accepted, accepted, key_headers, over
from herald.api.shapes.requests import MessageRequest
from herald.outbox.message.state import FINAL
from herald.outbox.moves.accept import Acceptance
from herald.outbox.moves.cancel import Reach, cancel
from herald.outbox.moves.send_again import send_again
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.queries import MessageState, NotificationState, find_message

T = TypeVar("T")
State = TypeVar("State", MessageState, NotificationState)


class Cancelled(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing will be delivered."""

    id: UUID
    status: Literal["cancelled"] = "cancelled"


@accept("/", "Accept a message", body=MessageRequest, may_wait=True)
async def accept_message(request: HttpRequest) -> Response[Accepted]:
    """Accept a message for a registered topic: 202 once it is committed, 200 with `wait` once it is over."""
    return await accept_one(request, MessageRequest, request_message)


@query("/{id:str}", "Look at one", filters=Wait)
async def get_message(request: HttpRequest) -> MessageState:
    """Show a message as it stands, with `wait` once it is over."""
    key = key_of(request)

    def find(connection: Pooled, message_id: UUID) -> MessageState | None:
        found = find_message(connection, message_id)
        return None if found and key and not key.is_for(found.topic) else found

    return shown(await followed(request, find, "message"), key_of(request))


@command("/{id:str}/cancel", "Cancel one")
async def cancel_message(request: HttpRequest) -> Response[Cancelled]:
    """Cancel a message: 200 when it is cancelled, now or before; 409 once an attempt to deliver it has begun.

    409 with Retry-After while another transaction holds it.
    """
    return await cancel_one(request, "message", topic=None)


@accept("/{id:str}/again", "Send one again")
async def send_message_again(request: HttpRequest) -> Response[Accepted]:
    """Send a message that is over again, as a new one whose `again_of` names it: 202 once that is committed.

    It carries what the first carried last, under its key and priority, at once and without a deadline. 409 where the
    first is not over.
    """
    return await send_one_again(request, "message", topic=None)


async def followed(request: HttpRequest, find: Callable[[Pooled, UUID], State | None], what: str) -> State:
    """The one that the path names as it stands; with `wait` once it is over, or after so long. Raises ProblemError."""
    message_id, wait = id_of(request), filters_of(request, Wait).wait
    found = there(await read(request, find, message_id), what, message_id)
    if wait and found.status not in FINAL:
        await resources_of(request).ends.ended(message_id, wait)
        found = there(await read(request, find, message_id), what, message_id)
    return found


async def accept_one(request: HttpRequest, shape: type[T], accept_it: Callable[..., Acceptance]) -> Response[Accepted]:
    """From a request to its answer: the body, decoded and checked, and committed with what others submit."""
    resources, wait = resources_of(request), _wait_of(request)
    asked, body = await read_json(request, shape)
    acceptance = accept_it(asked, resources.settings, traceparent=traceparent(request))
    key_for(request, acceptance.topic)
    acceptance = msgspec.structs.replace(acceptance, actor=actor_of(request))
    receipt = await resources.committer.submit((acceptance,), await request_key_of(request, body))
    name(request.scope, receipt.ids)
    if ended := await resources.ends.ended(receipt.ids[0], wait):
        return over(receipt, ended)
    return accepted(receipt, acceptance.deliver_at, ttl=resources.settings.idempotency_ttl)


async def cancel_one(request: HttpRequest, what: str, *, topic: str | None) -> Response[Cancelled]:
    """Cancel the one that the path names."""
    message_id, reach = id_of(request), _reach(request, topic)
    name(request.scope, [message_id])

    def work(connection: Connection) -> list[UUID]:
        found = there(cancel(connection, message_id, reach=reach, actor=actor_of(request)), what, message_id)
        if found.refusal:
            raise field_problem("id", found.refusal, HTTPStatus.CONFLICT, TRY_AGAIN if found.is_held else None)
        return [message_id]

    await read_ignored(request)
    receipt = await once(request, b"", work)
    return Response(Cancelled(id=message_id), headers=key_headers(receipt))


async def send_one_again(request: HttpRequest, what: str, *, topic: str | None) -> Response[Accepted]:
    """Accept anew the one that the path names."""
    message_id, trace, reach = id_of(request), traceparent(request), _reach(request, topic)
    actor = actor_of(request)
    name(request.scope, [message_id])

    def work(connection: Connection) -> list[UUID]:
        again = send_again(connection, message_id, reach=reach, actor=actor, traceparent=trace)
        found = there(again, what, message_id)
        if found.id is None:
            raise field_problem("id", found.refusal, HTTPStatus.CONFLICT)
        return [found.id]

    await read_ignored(request)
    receipt = await once(request, b"", work)
    return accepted(receipt, None, ttl=resources_of(request).settings.idempotency_ttl)


def _reach(request: HttpRequest, topic: str | None) -> Reach:
    """What the caller may move there. Raises ProblemError."""
    reach = reach_of(request)
    if topic is None:
        return reach
    key_for(request, topic)
    return reach._replace(topics=[topic])


def _wait_of(request: HttpRequest) -> int | None:
    if not request.scope["query_string"]:
        return None
    wait = filters_of(request, Wait).wait
    if wait and header(request, IDEMPOTENCY_KEY.lower().encode()) is None:
        raise field_problem("wait", f"needs an {IDEMPOTENCY_KEY}: without it, who asks again is served twice")
    return wait


router = Router(
    "/messages", route_handlers=[accept_message, get_message, cancel_message, send_message_again], tags=["messages"]
)
