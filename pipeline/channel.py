"""What a topic's handler and a channel are given, and how they say that a delivery failed."""

from collections.abc import Awaitable
from typing import Protocol
from uuid import UUID

import msgspec

from herald.outbox.message.events import Code


class Delivery(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One attempt to deliver one message.

    `attempt` counts from 1; `timeout` is the seconds this call may take: threads cannot be stopped from outside, so a
    channel hands it to its own client; a coroutine is cancelled a second later. `id` stays the same over all attempts:
    it is the idempotency key.
    """

    id: UUID
    topic: str
    key: str | None
    attempt: int
    timeout: float
    traceparent: str | None = None


class Letter(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a channel delivers. `event` is the topic's name and `user_id` None where it is no notification.

    `data` is the message's JSON as it was accepted; `content` is text for a person.
    """

    address: str
    user_id: str | None
    event: str
    subject: str | None
    content: str
    data: bytes


class DeliveryError(Exception):
    """What a channel foresaw: the text is the message's reason, `code` what programs may decide by."""

    code: Code = "failed"

    def __init__(self, *reason: object, code: Code | None = None) -> None:
        super().__init__(*reason)
        self.code = code or self.code


class PermanentError(DeliveryError):
    """Trying again cannot help: the message is dead, and the text is its reason."""

    code = "refused"


class TemporaryError(DeliveryError):
    """Trying again may help, after `retry_after` seconds at the earliest where the destination says so.

    `is_destination_fault` is False where the destination works and refuses only this message for now:
    such a failure does not open its breaker.
    """

    retry_after: float | None = None
    is_destination_fault = True

    def __init__(
        self,
        *reason: object,
        code: Code | None = None,
        retry_after: float | None = None,
        is_destination_fault: bool = True,
    ) -> None:
        super().__init__(*reason, code=code)
        self.retry_after = retry_after
        self.is_destination_fault = is_destination_fault


class UnknownOutcomeError(DeliveryError):
    """Whether the provider took it cannot be told: the channel's policy decides, retry or hold."""

    code = "no_answer"


class NotSetUpError(Exception):
    """A process has no settings for it: no fault of the message, and no attempt that counts.

    It waits for a pipeline that has them. `channel` is the registered one that lacks settings; None where none is of
    that name.
    """

    def __init__(self, reason: str, *, channel: str | None = None) -> None:
        super().__init__(reason)
        self.channel = channel


class Channel(Protocol):
    """A way to deliver; each module named in `herald.outbox.registry.CHANNELS` has `make_channel(settings) -> Channel`.

    Where `deliver` is a plain function it is called from many threads at once; where it is `async def`, on the one loop
    that has all such calls: it must not block, and has HERALD_OPEN_CALLS instead of threads.
    """

    name: str

    def host(self, address: str, /) -> str:
        """The destination's host, for its breaker and its limit; "" where there is only one destination.

        Raises PermanentError for an address that cannot be one, and NotSetUpError where this process has no settings
        for the channel, or for this address.
        """

    def deliver(self, letter: Letter, delivery: Delivery, /) -> Awaitable[None] | None:
        """Return when the provider has taken it, within `delivery.timeout` seconds.

        Raises PermanentError, TemporaryError, UnknownOutcomeError, NotSetUpError or OSError, which counts as
        temporary. Anything else is this message's fault only where others succeed (pipeline/deliver/blame.py).
        """

    def close(self) -> Awaitable[None] | None:
        """Close connections, on the loop; nothing is delivered afterwards."""
