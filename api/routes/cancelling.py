"""`POST …/cancel`: take a message back before it is tried."""

from http import HTTPStatus
from typing import Any, Literal
from uuid import UUID

import msgspec
from litestar import Request, Response, post

from herald.api.http.bodies import read_ignored
from herald.api.http.openapi import KEY_HEADERS, documented, keyed
from herald.api.http.parameters import Id, only_query, parse_id
from herald.api.http.problems import field_problem
from herald.api.http.resources import resources_of
from herald.api.http.writes import once
from herald.api.shapes.answers import key_headers
from herald.outbox.message.notification import TOPIC
from herald.outbox.moves.cancel import cancel
from herald.outbox.postgres.driver import Connection


class Cancelled(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing will be delivered."""

    id: UUID
    status: Literal["cancelled"] = "cancelled"


@post(
    "/{id:str}/cancel",
    summary="Cancel one",
    status_code=200,
    before_request=only_query(),
    operation_class=keyed(),
    response_headers=KEY_HEADERS,
    responses=documented(400, 404, 409, 413, 422, 503),
)
async def cancel_notification(request: Request[Any, Any, Any], id: Id) -> Response[Cancelled]:  # noqa: A002 - the caller's word
    """Cancel a notification: 200 when it is cancelled, now or before; 409 once an attempt to deliver it has begun."""
    return await _cancelled(request, parse_id(id), topic=TOPIC)


@post(
    "/{id:str}/cancel",
    summary="Cancel one",
    status_code=200,
    before_request=only_query(),
    operation_class=keyed(),
    response_headers=KEY_HEADERS,
    responses=documented(400, 404, 409, 413, 422, 503),
)
async def cancel_message(request: Request[Any, Any, Any], id: Id) -> Response[Cancelled]:  # noqa: A002 - the caller's word
    """Cancel a message: 200 when it is cancelled, now or before; 409 once an attempt to deliver it has begun."""
    return await _cancelled(request, parse_id(id), topic=None)


async def _cancelled(request: Request[Any, Any, Any], message_id: UUID, *, topic: str | None) -> Response[Cancelled]:
    def work(connection: Connection) -> list[UUID]:
        found = cancel(connection, message_id, topic=topic)
        if found is None:
            kind = "message" if topic is None else "notification"
            raise field_problem("id", f"no {kind} {message_id}", HTTPStatus.NOT_FOUND)
        if found.status != "cancelled":
            detail = f"it is {found.status}, after {found.attempts} attempt(s): too late to cancel"
            raise field_problem("id", detail, HTTPStatus.CONFLICT)
        return [message_id]

    await read_ignored(request, max_bytes=resources_of(request).settings.max_body)
    receipt = await once(request, b"", work)
    return Response(Cancelled(id=message_id), status_code=200, headers=key_headers(receipt))
