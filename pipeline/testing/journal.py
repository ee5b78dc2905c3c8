"""Which calls of handlers and channels began, and how they ended: a file, because it outlives a killed process."""

import os
from collections.abc import Mapping
from pathlib import Path
from uuid import UUID

import msgspec

from herald.outbox.settings import Settings
from herald.pipeline.channel import Channel, Delivery
from herald.pipeline.consume.record import Request
from herald.pipeline.deliver.routing import Router
from herald.pipeline.topic import Topic


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a topic's handler or of a channel.

    `is_returned` is False where the call raised (then `error` says what), still runs, or died with its process.
    """

    id: UUID
    topic: str
    key: str | None
    attempt: int
    data: msgspec.Raw
    is_returned: bool = False
    error: str | None = None


class Journal:
    """Written by threads of several processes, one line at a time; the newest line about a call counts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, call: Call) -> None:
        """Note how a call stands."""
        os.write(self._file, msgspec.json.encode(call) + b"\n")

    def calls(self) -> list[Call]:
        """Every call in the order in which they began."""
        lines = (msgspec.json.decode(line, type=Call) for line in self.path.read_bytes().splitlines())
        return list({(call.id, call.attempt): call for call in lines}.values())

    def close(self) -> None:
        """Write no more."""
        os.close(self._file)


class JournalledRouter(Router):
    """Delivers as production does, and notes it."""

    def __init__(
        self, settings: Settings, topics: Mapping[str, Topic], channels: Mapping[str, Channel], journal: Journal
    ) -> None:
        super().__init__(settings, topics, channels)
        self._journal = journal

    async def deliver(self, request: Request, delivery: Delivery) -> None:
        """Call the handler or the channel; raises what they raise."""
        data, attempt = msgspec.Raw(request.raw or b"null"), delivery.attempt
        call = Call(id=request.id, topic=request.topic, key=request.key, attempt=attempt, data=data)
        self._journal.write(call)
        try:
            await super().deliver(request, delivery)
        except BaseException as error:
            self._journal.write(msgspec.structs.replace(call, error=f"{type(error).__name__}: {error}"))
            raise
        self._journal.write(msgspec.structs.replace(call, is_returned=True))
