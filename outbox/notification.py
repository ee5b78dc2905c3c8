"""What a notification carries: the data of a message on the topic `notifications`."""

from typing import Annotated

import msgspec

TOPIC = "notifications"
MAX_NAME = 255  # characters of a user id, an event name or a message key
MAX_CONTENT = 1_000_000  # characters; Kafka's own limit on a record (1 MB by default) comes first for most

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME)]
Content = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_CONTENT)]


class AddressError(ValueError):
    """A text that is no address of its channel; says what is wrong with it."""


class Notification(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """One notification for one user; ids that come as integers are kept as text."""

    user_id: Name | int
    event: Name
    content: Content
    channel: Name | None = None

    def __post_init__(self) -> None:
        if isinstance(self.user_id, int):
            msgspec.structs.force_setattr(self, "user_id", str(self.user_id))

    @property
    def key(self) -> str:
        """The user's id: notifications of one user are published and first attempted in order."""
        return str(self.user_id)
