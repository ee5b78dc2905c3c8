"""What callers may send; the structs are the validators and the OpenAPI schemas alike."""

from typing import Annotated, Any

import msgspec

from outbox.notification import MAX_NAME, Content, Name, Notification

MAX_BULK = 1000  # items, and notifications after expansion

Users = Annotated[list[Name | int], msgspec.Meta(min_length=1, max_length=MAX_BULK)]


class BulkItem(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A notification for `user_id`, or one for each of `user_ids`; exactly one of the two."""

    event: Name
    content: Content
    channel: Name | None = None
    user_id: Name | int | msgspec.UnsetType = msgspec.UNSET
    user_ids: Users | msgspec.UnsetType = msgspec.UNSET


class Bulk(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Up to 1,000 notifications, counted after expansion of `user_ids`: all of them are accepted or none."""

    items: Annotated[list[BulkItem], msgspec.Meta(min_length=1, max_length=MAX_BULK)]


class MessageRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An event for any registered topic; messages of one key are published in order."""

    topic: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME)]
    data: Annotated[msgspec.Raw, msgspec.Meta(description="any JSON object, kept as it came")]
    key: Name | None = None


_NOTIFICATION: dict[str, Any] = {"user_id": "42", "event": "order.shipped", "content": "Your parcel is on its way."}

EXAMPLES: dict[type[msgspec.Struct], dict[str, dict[str, Any]]] = {
    Notification: {
        "shipped": {"summary": "Delivered by the default channel", "value": _NOTIFICATION},
        "channel": {"summary": "With a channel", "value": {**_NOTIFICATION, "channel": "log"}},
    },
    Bulk: {
        "mixed": {
            "summary": "One user, and many users with the same words",
            "value": {
                "items": [
                    _NOTIFICATION,
                    {"user_ids": ["43", "44"], "event": "sale.began", "content": "Everything must go."},
                ]
            },
        }
    },
    MessageRequest: {
        "generic": {
            "summary": "An event on generic_topic",
            "value": {"topic": "generic_topic", "key": "order-7", "data": {"order": 7, "total": 12.50}},
        },
        "notification": {
            "summary": "A notification, the long way",
            "value": {"topic": "notifications", "data": _NOTIFICATION},
        },
    },
}
