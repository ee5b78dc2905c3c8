"""What a notification carries: the data of a message on the topic `notifications`."""

from datetime import datetime
from typing import Annotated

import msgspec

from herald.outbox.message.dates import DATE_PATTERN, Dates
from herald.outbox.message.payload import WITHOUT_NUL

TOPIC = "notifications"
MAX_NAME = 255  # characters of a user id, an event name or a message key
MAX_ADDRESS = 2048  # characters of an e-mail address or a URL
MAX_CONTENT = 1_000_000  # characters; Kafka's own limit on a record (1 MB by default) comes first for most
# for a JSON schema, which does not see what encoded words hide
WITHOUT_CONTROL = r"^[^\u0000-\u001f\u007f-\u009f\u2028\u2029]*$"

# Patterns are for the document: `check_json`, `in_utc` and `check_subject` hold to them, and say what is wrong.
_NO_NUL = {"pattern": WITHOUT_NUL}
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME, extra_json_schema=_NO_NUL)]
Address = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ADDRESS, extra_json_schema=_NO_NUL)]
Subject = Annotated[
    str, msgspec.Meta(min_length=1, max_length=MAX_NAME, extra_json_schema={"pattern": WITHOUT_CONTROL})
]
Date = Annotated[datetime, msgspec.Meta(tz=True, extra_json_schema={"pattern": DATE_PATTERN})]
Priority = Annotated[int, msgspec.Meta(ge=0, le=9)]
Content = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_CONTENT, extra_json_schema=_NO_NUL)]
_DIGITS = {"exclusiveMinimum": -(10.0 ** (MAX_NAME - 1)), "exclusiveMaximum": 10.0**MAX_NAME}  # MAX_NAME characters
Number = Annotated[int, msgspec.Meta(extra_json_schema=_DIGITS)]
UserId = Name | Number


class AddressError(ValueError):
    """A text that is no address of its channel; says what is wrong with it."""


class Notification(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """One notification for one user; ids that come as integers are kept as text.

    Without `channel` and `address`, settings decide by event or topic. Dates have a time zone.
    """

    user_id: UserId
    event: Name
    content: Content
    channel: Name | None = None
    address: Address | None = None
    subject: Subject | None = None
    deliver_at: Date | None = None
    deliver_by: Date | None = None
    priority: Priority | None = None

    def __post_init__(self) -> None:
        if isinstance(self.user_id, int):
            msgspec.structs.force_setattr(self, "user_id", str(self.user_id))

    @property
    def key(self) -> str:
        """The user's id: notifications of one user are published and first attempted in order."""
        return str(self.user_id)

    @property
    def dates(self) -> Dates:
        """When it is to be delivered."""
        return Dates(deliver_at=self.deliver_at, deliver_by=self.deliver_by, priority=self.priority)


class _WithEvent(msgspec.Struct):
    event: msgspec.Raw = msgspec.Raw(b"null")


_decode_event = msgspec.json.Decoder(_WithEvent).decode


def event_of(topic: str, data: msgspec.Raw) -> str | None:
    """What `messages.event` says: that of a notification, also of one that another producer wrote and is none.

    As PostgreSQL's `->>` gives it: what is no string as its JSON, and nothing of what is no object.
    """
    if topic != TOPIC or not bytes(data).lstrip().startswith(b"{"):
        return None
    found = bytes(_decode_event(data).event)
    if found == b"null":
        return None
    text = msgspec.json.decode(found, type=str) if found.startswith(b'"') else found.decode()
    return text[:MAX_NAME]
