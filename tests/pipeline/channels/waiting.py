"""Channels of coroutines, called as tests call: in any thread, and each call waited for."""

import asyncio
import threading
from typing import ClassVar

from herald.pipeline.channel import Delivery, Letter
from herald.pipeline.channels.webhook.channel import WebhookChannel

LONGEST = 60.0  # seconds of one call


class Waiting:
    """A webhook channel on a loop of its own; whatever was made is closed by `close_all`."""

    made: ClassVar[list["Waiting"]] = []

    def __init__(self, channel: WebhookChannel) -> None:
        self.channel = channel
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self.made.append(self)

    def host(self, address: str) -> str:
        return self.channel.host(address)

    def deliver(self, letter: Letter, delivery: Delivery) -> None:
        asyncio.run_coroutine_threadsafe(self.channel.deliver(letter, delivery), self._loop).result(LONGEST)

    def close(self) -> None:
        if self in self.made:
            self.made.remove(self)
            asyncio.run_coroutine_threadsafe(self.channel.close(), self._loop).result(LONGEST)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(LONGEST)

    @classmethod
    def close_all(cls) -> None:
        for channel in list(cls.made):
            channel.close()

    def _run(self) -> None:
        self._loop.run_forever()
        self._loop.close()
