"""What a topic's handler and a channel are given, and how they say that a delivery failed."""

from typing import Protocol
from uuid import UUID

import msgspec


class Delivery(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One attempt to deliver one message.

    `attempt` counts from 1; `timeout` is the seconds this call may take: threads cannot be
    stopped from outside, so a channel hands it to its own client. `id` stays the same over all
    attempts: it is the idempotency key.
    """

    id: UUID
    topic: str
    key: str | None
    attempt: int
    timeout: float
    traceparent: str | None = None


class PermanentError(Exception):
    """Trying again cannot help: the message is dead, and the text is its reason."""


class TemporaryError(Exception):
    """Trying again may help. Any other exception counts the same; this one says that it was foreseen."""


class Channel(Protocol):
    """A way to deliver a notification to a person; returns when the provider has taken it."""

    name: str

    def deliver(self, *, user_id: str, event: str, content: str, delivery: Delivery) -> None:
        """Deliver within `delivery.timeout` seconds; raises PermanentError, or anything else to be tried again."""
