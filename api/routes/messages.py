"""`/messages`: the general form, for any registered topic."""

from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Request, Response, Router, get, post

from herald.api.http.bodies import read_json
from herald.api.http.idempotency import request_key_of
from herald.api.http.openapi import COMMITTED, KEY_HEADERS, KEY_PARAMETER, TRACE_PARAMETER, documented, takes
from herald.api.http.parameters import Id, only_query, parse_id
from herald.api.http.problems import field_problem
from herald.api.http.resources import resources_of
from herald.api.http.tracing import traceparent
from herald.api.routes.cancelling import cancel_message
from herald.api.routes.commands import request_message
from herald.api.shapes.answers import Accepted, accepted
from herald.api.shapes.requests import MessageRequest
from herald.outbox.postgres.queries import MessageState, find_message

_DECODER = msgspec.json.Decoder(MessageRequest)


@post(
    "/",
    summary="Accept a message",
    status_code=202,
    response_description=COMMITTED,
    operation_class=takes(MessageRequest, TRACE_PARAMETER, KEY_PARAMETER),
    response_headers=KEY_HEADERS,
    responses=documented(400, 409, 413, 415, 422, 503),
)
async def accept_message(request: Request[Any, Any, Any]) -> Response[Accepted]:
    """Accept a message for a registered topic: 202 once it is committed."""
    resources = resources_of(request)
    message, body = await read_json(request, _DECODER, max_bytes=resources.settings.max_body)
    acceptance = request_message(message, resources.settings, traceparent=traceparent(request))
    receipt = await resources.committer.submit((acceptance,), await request_key_of(request, body))
    return accepted(receipt, acceptance.deliver_at, ttl=resources.settings.idempotency_ttl)


@get(
    "/{id:str}",
    summary="Look at one",
    sync_to_thread=True,
    before_request=only_query(),
    responses=documented(400, 404, 503),
)
def message(request: Request[Any, Any, Any], id: Id) -> MessageState:  # noqa: A002 - the caller's word
    """Show a message as it stands."""
    message_id = parse_id(id)
    with resources_of(request).engine.connect() as connection:
        found = find_message(connection, message_id)
    if found is None:
        raise field_problem("id", f"no message {message_id}", HTTPStatus.NOT_FOUND)
    return found


router = Router("/messages", route_handlers=[accept_message, message, cancel_message], tags=["messages"])
