"""`/notifications`: accept one, accept many, list, look at one and at its history."""

from http import HTTPStatus
from typing import Any
from uuid import UUID

import msgspec
from litestar import Request, Response, Router, get, post
from litestar.concurrency import sync_to_thread

from herald.api.http.bodies import read_json
from herald.api.http.idempotency import request_key_of
from herald.api.http.openapi import COMMITTED, KEY_HEADERS, KEY_PARAMETER, TRACE_PARAMETER, documented, takes
from herald.api.http.parameters import (
    DEFAULT_LIMIT,
    Cursor,
    EventName,
    Id,
    Limit,
    StatusName,
    UserId,
    from_cursor,
    only_query,
    parse_id,
    parse_status,
    to_cursor,
)
from herald.api.http.problems import ProblemError, field_problem
from herald.api.http.readers import a_turn
from herald.api.http.resources import resources_of, room_for
from herald.api.http.tracing import traceparent
from herald.api.routes.cancelling import cancel_notification
from herald.api.routes.commands import NOTIFICATION_DECODER, request_bulk, request_notification
from herald.api.shapes.answers import (
    Accepted,
    BulkAccepted,
    Events,
    NotificationPage,
    accepted,
    bulk_accepted,
)
from herald.api.shapes.requests import Bulk
from herald.outbox.message.notification import Notification
from herald.outbox.postgres.queries import (
    NotificationState,
    events_of_notification,
    find_notification,
    list_notifications,
)

_BULK_DECODER = msgspec.json.Decoder(Bulk)


@post(
    "/",
    summary="Accept a notification",
    status_code=202,
    response_description=COMMITTED,
    operation_class=takes(Notification, TRACE_PARAMETER, KEY_PARAMETER),
    response_headers=KEY_HEADERS,
    responses=documented(400, 409, 413, 415, 422, 503),
)
async def accept_notification(request: Request[Any, Any, Any]) -> Response[Accepted]:
    """Accept a notification: 202 once it is committed, from when on nothing that is killed loses it."""
    resources = resources_of(request)
    notification, body = await read_json(request, NOTIFICATION_DECODER, max_bytes=resources.settings.max_body)
    acceptance = request_notification(notification, resources.settings, traceparent=traceparent(request))
    receipt = await resources.committer.submit((acceptance,), await request_key_of(request, body))
    return accepted(receipt, acceptance.deliver_at, ttl=resources.settings.idempotency_ttl)


@post(
    "/bulk",
    summary="Accept many at once",
    status_code=202,
    response_description=COMMITTED,
    operation_class=takes(Bulk, TRACE_PARAMETER, KEY_PARAMETER),
    response_headers=KEY_HEADERS,
    responses=documented(400, 409, 413, 415, 422, 503),
)
async def accept_bulk(request: Request[Any, Any, Any]) -> Response[BulkAccepted]:
    """Accept up to 1,000 notifications, all or none; an item with `user_ids` becomes one for each user."""
    resources = resources_of(request)
    max_bytes = resources.settings.max_bulk_body
    bulk, body = await read_json(request, _BULK_DECODER, max_bytes=max_bytes)
    request_key = await request_key_of(request, body)
    acceptances = request_bulk(bulk, resources.settings, traceparent=traceparent(request))
    with room_for(request, sum(one.size for one in acceptances)):
        del bulk, body  # while it waits for its commit, a bulk is held once and not three times
        receipt = await resources.committer.submit(acceptances, request_key)
    return bulk_accepted(receipt, [one.deliver_at for one in acceptances], ttl=resources.settings.idempotency_ttl)


@get(
    "/",
    summary="List notifications",
    before_request=only_query("user_id", "event", "status", "limit", "cursor"),
    responses=documented(400, 503),
)
async def notifications(
    request: Request[Any, Any, Any],
    user_id: UserId = None,
    event: EventName = None,
    status: StatusName = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> NotificationPage:
    """List notifications, newest first."""
    before = None if cursor is None else from_cursor(cursor)
    among = None if status is None else parse_status(status)
    engine = resources_of(request).engine

    def read() -> tuple[list[NotificationState], bool]:
        with engine.connect() as connection:
            return list_notifications(
                connection, limit=limit, user_id=user_id, event=event, status=among, before=before
            )

    async with a_turn(request):
        items, has_more = await sync_to_thread(read)
    return NotificationPage(items=items, cursor=to_cursor(items[-1].id) if has_more else None)


@get(
    "/{id:str}",
    summary="Look at one",
    sync_to_thread=True,
    before_request=only_query(),
    responses=documented(400, 404, 503),
)
def notification(request: Request[Any, Any, Any], id: Id) -> NotificationState:  # noqa: A002 - the caller's word
    """Show a notification as it stands."""
    notification_id = parse_id(id)
    with resources_of(request).engine.connect() as connection:
        found = find_notification(connection, notification_id)
    if found is None:
        raise _unknown(notification_id)
    return found


@get(
    "/{id:str}/events",
    summary="Look at its history",
    sync_to_thread=True,
    before_request=only_query(),
    responses=documented(400, 404, 503),
)
def notification_events(request: Request[Any, Any, Any], id: Id) -> Events:  # noqa: A002 - the caller's word
    """Show what happened to a notification, oldest first."""
    notification_id = parse_id(id)
    with resources_of(request).engine.connect() as connection:
        found = events_of_notification(connection, notification_id)
    if not found:
        raise _unknown(notification_id)
    return Events(items=found)


def _unknown(notification_id: UUID) -> ProblemError:
    return field_problem("id", f"no notification {notification_id}", HTTPStatus.NOT_FOUND)


router = Router(
    "/notifications",
    route_handlers=[
        accept_notification,
        accept_bulk,
        notifications,
        notification,
        notification_events,
        cancel_notification,
    ],
    tags=["notifications"],
)
