"""Where a message goes: what it says itself, else what the settings say for its event or its topic."""

from typing import NamedTuple

from herald.outbox.registry import DEFAULT_CHANNEL
from herald.outbox.settings import Settings


class Target(NamedTuple):
    """A channel, and an address for it; "" where neither the message nor a route has one."""

    channel: str
    address: str


def choose(settings: Settings, *, topic: str, event: str | None, channel: str | None, address: str | None) -> Target:
    """The event's route comes before the topic's; a route's address serves its own channel only."""
    route = settings.routes.get(event or topic) or settings.routes.get(topic)
    if route is None:
        return Target(channel or DEFAULT_CHANNEL, address or "")
    if channel in {None, route.channel}:
        return Target(route.channel, address or route.address or "")
    return Target(channel or DEFAULT_CHANNEL, address or "")
