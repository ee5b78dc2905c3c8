"""`POST …/cancel`: take a message back before it is tried."""

from http import HTTPStatus
from typing import Any, Literal
from uuid import UUID

import msgspec
from litestar import Request, post

from api.documents import documented
from api.parameters import Id, only_query, parse_id
from api.problems import field_problem
from api.resources import resources_of
from outbox.cancellation import cancel
from outbox.notification import TOPIC


class Cancelled(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing will be delivered."""

    id: UUID
    status: Literal["cancelled"] = "cancelled"


@post(
    "/{id:str}/cancel",
    summary="Cancel one",
    status_code=200,
    sync_to_thread=True,
    before_request=only_query(),
    responses=documented(400, 404, 409, 503),
)
def cancel_notification(request: Request[Any, Any, Any], id: Id) -> Cancelled:  # noqa: A002 - the caller's word
    """Cancel a notification: 200 when it is cancelled, now or before; 409 once an attempt to deliver it has begun."""
    return _cancelled(request, parse_id(id), topic=TOPIC)


@post(
    "/{id:str}/cancel",
    summary="Cancel one",
    status_code=200,
    sync_to_thread=True,
    before_request=only_query(),
    responses=documented(400, 404, 409, 503),
)
def cancel_message(request: Request[Any, Any, Any], id: Id) -> Cancelled:  # noqa: A002 - the caller's word
    """Cancel a message: 200 when it is cancelled, now or before; 409 once an attempt to deliver it has begun."""
    return _cancelled(request, parse_id(id), topic=None)


def _cancelled(request: Request[Any, Any, Any], message_id: UUID, *, topic: str | None) -> Cancelled:
    with resources_of(request).transaction() as connection:
        found = cancel(connection, message_id, topic=topic)
    if found is None:
        raise field_problem(
            "id", f"no {'message' if topic is None else 'notification'} {message_id}", HTTPStatus.NOT_FOUND
        )
    if found.status != "cancelled":
        detail = f"it is {found.status}, after {found.attempts} attempt(s): too late to cancel"
        raise field_problem("id", detail, HTTPStatus.CONFLICT)
    return Cancelled(id=message_id)
