"""`/messages`: the general form, for any registered topic; `/notifications` does by it what both have alike."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Literal, TypeVar
from uuid import UUID

import msgspec
from litestar import Response, Router

from herald.api.http.bodies import read_ignored, read_json
from herald.api.http.contents import shown
from herald.api.http.gate import actor_of, key_for, key_of, reach_of
from herald.api.http.headers import request_key_of, traceparent
from herald.api.http.operations import accept, command, query
from herald.api.http.parameters import id_of, there
from herald.api.http.problems import TRY_AGAIN, HttpRequest, field_problem
from herald.api.http.requests import name
from herald.api.http.resources import once, read, resources_of
from herald.api.routes.commands import request_message
from herald.api.shapes.answers import Accepted, accepted, key_headers
from herald.api.shapes.requests import MessageRequest
from herald.outbox.moves.accept import Acceptance
from herald.outbox.moves.cancel import Reach, cancel
from herald.outbox.moves.send_again import send_again
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.queries import MessageState, find_message

T = TypeVar("T")


class Cancelled(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing will be delivered."""

    id: UUID
    status: Literal["cancelled"] = "cancelled"


@accept("/", "Accept a message", body=MessageRequest)
async def accept_message(request: HttpRequest) -> Response[Accepted]:
    """Accept a message for a registered topic: 202 once it is committed."""
    return await accept_one(request, MessageRequest, request_message)


@query("/{id:str}", "Look at one")
async def get_message(request: HttpRequest) -> MessageState:
    """Show a message as it stands."""
    message_id, key = id_of(request), key_of(request)
    found = await read(request, find_message, message_id)
    if found and key and not key.is_for(found.topic):
        found = None
    return shown(there(found, "message", message_id), key)


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


async def accept_one(request: HttpRequest, shape: type[T], accept_it: Callable[..., Acceptance]) -> Response[Accepted]:
    """From a request to its 202: the body, decoded and checked, committed with what others submit, and answered."""
    resources = resources_of(request)
    asked, body = await read_json(request, shape)
    acceptance = accept_it(asked, resources.settings, traceparent=traceparent(request))
    key_for(request, acceptance.topic)
    acceptance = msgspec.structs.replace(acceptance, actor=actor_of(request))
    receipt = await resources.committer.submit((acceptance,), await request_key_of(request, body))
    name(request.scope, receipt.ids)
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


router = Router(
    "/messages", route_handlers=[accept_message, get_message, cancel_message, send_message_again], tags=["messages"]
)
