"""What holds for one channel: the general settings, unless the channel has its own."""

from typing import Literal

import msgspec

from outbox.channel_settings import ChannelPolicy
from outbox.settings import Settings


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """Times in seconds; `unknown` says what becomes of an attempt whose outcome is not known."""

    timeout: float
    concurrency: int
    destination_concurrency: int
    retry_base: float
    retry_cap: float
    max_attempts: int
    unknown: Literal["retry", "hold"]


def policy(settings: Settings, channel: str | None) -> Policy:
    """The policy of a channel; None is a topic's own handler."""
    own = settings.channels.get(channel or "", ChannelPolicy())
    return Policy(
        timeout=own.timeout or settings.delivery_timeout,
        concurrency=own.concurrency or settings.concurrency,
        destination_concurrency=own.destination_concurrency or settings.destination_concurrency,
        retry_base=own.retry_base or settings.retry_base,
        retry_cap=own.retry_cap or settings.retry_cap,
        max_attempts=own.max_attempts or settings.max_attempts,
        unknown=own.unknown,
    )


def channel_of(destination: str | None) -> str | None:
    """The channel in a destination: `channel` or `channel:host`."""
    return None if destination is None else destination.partition(":")[0]
