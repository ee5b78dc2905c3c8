"""`/notifications`: accept one, accept many, list, look at one and at its history."""

import msgspec
from litestar import Response, Router

from herald.api.http.bodies import read_json
from herald.api.http.contents import sees_content, shown
from herald.api.http.ends import Wait
from herald.api.http.gate import actor_of, key_for
from herald.api.http.headers import request_key_of, traceparent
from herald.api.http.operations import accept, command, query
from herald.api.http.parameters import (
    DEFAULT_LIMIT,
    Cursor,
    GroupId,
    Limit,
    filters_of,
    from_cursor,
    id_of,
    there,
    to_cursor,
)
from herald.api.http.problems import HttpRequest
from herald.api.http.requests import name
from herald.api.http.resources import a_turn, read, resources_of, room_for
from herald.api.routes.commands import request_bulk, request_notification
from herald.api.routes.messages import Cancelled, accept_one, cancel_one, followed, send_one_again
from herald.api.shapes.answers import Accepted, BulkAccepted, Events, NotificationPage, bulk_accepted
from herald.api.shapes.requests import Bulk
from herald.outbox.message.notification import TOPIC, Notification
from herald.outbox.postgres.queries import (
    Chosen,
    NotificationState,
    events_of,
    find_notification,
    list_notifications,
)


class Wanted(Chosen, frozen=True, kw_only=True):
    """Which notifications are listed."""

    group: GroupId | None = None
    limit: Limit = DEFAULT_LIMIT
    cursor: Cursor | None = None


@accept("/", "Accept a notification", body=Notification, may_wait=True)
async def accept_notification(request: HttpRequest) -> Response[Accepted]:
    """Accept a notification: 202 once it is committed, from when on nothing that is killed loses it."""
    return await accept_one(request, Notification, request_notification)


@accept("/bulk", "Accept many at once", body=Bulk)
async def accept_notifications(request: HttpRequest) -> Response[BulkAccepted]:
    """Accept up to 1,000 notifications, all or none; an item with `user_ids` becomes a group, one for each user."""
    resources = resources_of(request)
    bulk, body = await read_json(request, Bulk, max_bytes=resources.settings.max_bulk_body)
    key_for(request, TOPIC)
    request_key = await request_key_of(request, body)
    actor, asked = actor_of(request), request_bulk(bulk, resources.settings, traceparent=traceparent(request))
    acceptances = [msgspec.structs.replace(one, actor=actor) for one in asked]
    with room_for(request, sum(one.size for one in acceptances)):
        del bulk, body, asked  # while it waits for its commit, a bulk is held once and not three times
        receipt = await resources.committer.submit(acceptances, request_key)
    name(request.scope, receipt.ids[: len(acceptances)])
    return bulk_accepted(receipt, acceptances, ttl=resources.settings.idempotency_ttl)


@query("/", "List notifications", filters=Wanted)
async def get_notifications(request: HttpRequest) -> NotificationPage:
    """List notifications, newest first."""
    key, wanted = key_for(request, TOPIC), filters_of(request, Wanted)
    before = from_cursor(wanted.cursor)
    async with a_turn(request):
        items, has_more = await read(request, list_notifications, wanted, limit=wanted.limit, before=before)
    return NotificationPage(
        items=[shown(one, key) for one in items], cursor=to_cursor(items[-1].id) if has_more else None
    )


@query("/{id:str}", "Look at one", filters=Wait)
async def get_notification(request: HttpRequest) -> NotificationState:
    """Show a notification as it stands, with `wait` once it is over."""
    key_for(request, TOPIC)
    return shown(await followed(request, find_notification, "notification"), key_for(request, TOPIC))


@query("/{id:str}/events", "Look at its history")
async def get_notification_events(request: HttpRequest) -> Events:
    """Show what happened to a notification, oldest first."""
    notification_id, key = id_of(request), key_for(request, TOPIC)
    found = await read(request, events_of, notification_id, topic=TOPIC, with_data=sees_content(key))
    return Events(items=there(found or None, "notification", notification_id))


@command("/{id:str}/cancel", "Cancel one")
async def cancel_notification(request: HttpRequest) -> Response[Cancelled]:
    """Cancel a notification: 200 when it is cancelled, now or before; 409 once an attempt to deliver it has begun.

    409 with Retry-After while another transaction holds it.
    """
    return await cancel_one(request, "notification", topic=TOPIC)


@accept("/{id:str}/again", "Send one again")
async def send_notification_again(request: HttpRequest) -> Response[Accepted]:
    """Send a notification that is over again, as a new one whose `again_of` names it: 202 once that is committed.

    It carries what the first carried last, to the same user with the same priority, at once and without a deadline. 409
    where the first is not over.
    """
    return await send_one_again(request, "notification", topic=TOPIC)


router = Router(
    "/notifications",
    route_handlers=[
        accept_notification,
        accept_notifications,
        get_notifications,
        get_notification,
        get_notification_events,
        cancel_notification,
        send_notification_again,
    ],
    tags=["notifications"],
)
