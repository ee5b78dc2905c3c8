"""`herald pipeline` as it is, but for handlers that raise TypeError while the file that SWITCH names is there."""

import os
from pathlib import Path

import msgspec

from herald.outbox import registry
from herald.outbox.settings import Settings
from herald.pipeline.channel import Delivery, Letter
from herald.pipeline.channels.webhook.channel import WebhookChannel
from herald.pipeline.channels.webhook.channel import make_channel as make_webhook
from herald.pipeline.topic import Topic
from herald.pipeline.topics import generic_topic

SWITCH = "BREAKABLE"  # in the environment: a file; what it says is which one breaks
HANDLER, CHANNEL = "handler", "channel"


def check(which: str) -> None:
    """Raises TypeError while this one is broken."""
    switch = Path(os.environ[SWITCH])
    if switch.exists() and which in switch.read_text(encoding="ascii"):
        message = f"the {which} takes no such argument"
        raise TypeError(message)


def handle(data: msgspec.Raw, delivery: Delivery) -> None:
    check(HANDLER)
    generic_topic.handle(data, delivery)


class Breakable:
    """The webhook channel, which breaks before it has called anybody."""

    name = WebhookChannel.name

    def __init__(self, channel: WebhookChannel) -> None:
        self._channel = channel

    def host(self, address: str) -> str:
        return self._channel.host(address)

    async def deliver(self, letter: Letter, delivery: Delivery) -> None:
        check(CHANNEL)
        await self._channel.deliver(letter, delivery)

    async def close(self) -> None:
        await self._channel.close()


def make_channel(settings: Settings) -> Breakable:
    return Breakable(make_webhook(settings))


topic = Topic(data=msgspec.Raw, handle=handle)

if __name__ == "__main__":
    registry.CHANNELS["webhook"] = registry.TOPICS["generic_topic"] = "tests.proof.faults.breakable"
    from herald.pipeline.process import command

    command()
