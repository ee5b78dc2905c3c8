"""What holds for one channel: the general settings, unless the channel has its own."""

from typing import Literal

import msgspec

from herald.outbox.destination.retries import Retries
from herald.outbox.settings import ChannelPolicy, Settings

Unknown = Literal["retry", "once", "hold"]
# A receiver of webhooks knows a repetition by its id. Who reads a mail does not: two copies are the most.
UNKNOWN: dict[str, Unknown] = {"email": "once"}


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """Times in seconds; `unknown` says what becomes of an attempt whose outcome is not known."""

    timeout: float
    concurrency: int
    destination_concurrency: int
    retries: Retries
    unknown: Unknown

    def is_held(self, *, unknowns: int, tries: int) -> bool:
        """Whether an attempt without a known outcome is the end until a person decides.

        `unknowns` outcomes before it were not known either; it was the `tries`-th that counts.
        """
        if self.unknown == "once":
            return unknowns > 0 or tries >= self.retries.attempts
        return self.unknown == "hold"


def policy(settings: Settings, channel: str | None, *, topic: str | None = None, is_async: bool = False) -> Policy:
    """The policy of a channel, for messages of a topic; None is a topic's own handler.

    A channel that `is_async` has calls on the loop, not threads.
    """
    own = settings.channels.get(channel or "", ChannelPolicy())
    is_strict = topic in settings.strict_topics
    cap = settings.strict_retry_cap if is_strict else settings.retry_cap
    attempts = settings.strict_max_attempts if is_strict else settings.max_attempts
    return Policy(
        timeout=own.timeout or settings.delivery_timeout,
        concurrency=own.concurrency or (settings.open_calls if is_async else settings.concurrency),
        destination_concurrency=own.destination_concurrency or settings.destination_concurrency,
        retries=Retries(own.retry_base or settings.retry_base, own.retry_cap or cap, own.max_attempts or attempts),
        unknown=own.unknown or UNKNOWN.get(channel or "", "retry"),
    )


def channel_of(destination: str | None) -> str | None:
    """The channel in a destination: `channel` or `channel:host`."""
    return None if destination is None else destination.partition(":")[0]
