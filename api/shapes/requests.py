"""What callers may send; the structs are the validators and the OpenAPI schemas alike."""

from typing import Annotated

import msgspec
from litestar.openapi.spec import Example

from herald.outbox.desk.filters import Filter
from herald.outbox.message.dates import Dates
from herald.outbox.message.notification import Address, Content, Date, Name, Notification, Priority, Subject, UserId
from herald.outbox.message.payload import WITHOUT_NUL

MAX_BULK = 1000  # items, and notifications after expansion

Reason = Annotated[str, msgspec.Meta(min_length=1, max_length=500, extra_json_schema={"pattern": WITHOUT_NUL})]
Users = Annotated[list[UserId], msgspec.Meta(min_length=1, max_length=MAX_BULK)]


class BulkItem(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A notification for `user_id`, or a group of one for each of `user_ids`; exactly one of the two."""

    event: Name
    content: Content
    channel: Name | None = None
    address: Address | None = None
    subject: Subject | None = None
    deliver_at: Date | None = None
    deliver_by: Date | None = None
    priority: Priority | None = None
    user_id: UserId | msgspec.UnsetType = msgspec.UNSET
    user_ids: Users | msgspec.UnsetType = msgspec.UNSET


class Bulk(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Up to 1,000 notifications, counted after expansion of `user_ids`: all of them are accepted or none."""

    items: Annotated[list[BulkItem], msgspec.Meta(min_length=1, max_length=MAX_BULK)]


class MessageRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An event for any registered topic; messages of one key are published in order.

    Dates stand in `data` where the topic is `notifications`, here for any other.
    """

    topic: Name
    data: Annotated[msgspec.Raw, msgspec.Meta(description="any JSON object, kept as it came")]
    key: Name | None = None
    deliver_at: Date | None = None
    deliver_by: Date | None = None
    priority: Priority | None = None

    @property
    def dates(self) -> Dates:
        """When it is to be delivered."""
        return Dates(deliver_at=self.deliver_at, deliver_by=self.deliver_by, priority=self.priority)


class Requeue(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Without `data` the message is tried again as it is; with it, as edited: checked like any input of its topic."""

    data: Annotated[msgspec.Raw, msgspec.Meta(description="any JSON object that fits the topic")] = msgspec.field(
        default_factory=msgspec.Raw
    )


class RequeueMany(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What fits the filter; `rate` is messages per second."""

    filter: Filter = Filter()
    dry_run: bool = True
    rate: Annotated[float, msgspec.Meta(gt=0, le=10_000)] | None = None


class Discard(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Why it is given up."""

    reason: Reason


class DiscardMany(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What fits the filter, and why it is given up."""

    filter: Filter
    reason: Reason
    dry_run: bool = True


class PauseRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Why deliveries are held back, for whoever wonders."""

    reason: Reason | None = None


_NOTIFICATION = {"user_id": "42", "event": "order.shipped", "content": "Your parcel is on its way."}
_MAIL = {**_NOTIFICATION, "channel": "email", "address": "Ada <ada@example.com>", "subject": "On its way"}
_DATES = {"deliver_at": "2027-01-01T09:00:00+01:00", "deliver_by": "2027-01-01T18:00:00+01:00", "priority": 9}
_MANY = {"user_ids": ["43", "44"], "event": "sale.began", "content": "Everything must go."}
_ORDER = {"topic": "generic_topic", "key": "order-7", "data": {"order": 7, "total": 12.50}}
_SALE = {"filter": {"event": "sale.began"}, "reason": "it is over"}

EXAMPLES: dict[type[msgspec.Struct], dict[str, Example]] = {
    Notification: {
        "shipped": Example(summary="Delivered by the default channel", value=_NOTIFICATION),
        "channel": Example(summary="Over a channel, to an address", value=_MAIL),
        "dates": Example(summary="Later, but not too late", value={**_NOTIFICATION, **_DATES}),
    },
    Bulk: {
        "mixed": Example(
            summary="One user, and many users with the same words", value={"items": [_NOTIFICATION, _MANY]}
        ),
    },
    MessageRequest: {
        "generic": Example(summary="An event on generic_topic", value=_ORDER),
        "notification": Example(
            summary="A notification, the long way", value={"topic": "notifications", "data": _NOTIFICATION}
        ),
    },
    Requeue: {
        "as_it_is": Example(summary="As it is", value={}),
        "edited": Example(summary="Edited", value={"data": _NOTIFICATION}),
    },
    RequeueMany: {
        "dry": Example(summary="Say what would take part", value={"filter": {"error": "HTTP 410 Gone"}}),
        "go": Example(summary="Do it", value={"filter": {"channel": "webhook"}, "dry_run": False, "rate": 50}),
    },
    Discard: {"left": Example(summary="With a reason", value={"reason": "the customer left"})},
    DiscardMany: {"dry": Example(summary="Say what would go", value=_SALE)},
    PauseRequest: {"maintenance": Example(summary="With a reason", value={"reason": "the mail server moves"})},
}
