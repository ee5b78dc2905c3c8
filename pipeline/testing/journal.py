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
    """Written by threads of several processes, one line at a time; read by the test."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, call: Call) -> None:
        """Note how a call stands; the newest line about it counts."""
        os.write(self._file, msgspec.json.encode(call) + b"\n")

    def calls(self) -> list[Call]:
        """Every call in the order in which they began."""
        found: dict[tuple[UUID, int], Call] = {}
        for line in self.path.read_bytes().splitlines():
            call = msgspec.json.decode(line, type=Call)
            found[call.id, call.attempt] = call
        return list(found.values())

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

    def deliver(self, request: Request, delivery: Delivery) -> None:
        """Call the handler or the channel; raises what they raise."""
        call = Call(
            id=request.id,
            topic=request.topic,
            key=request.key,
            attempt=delivery.attempt,
            data=msgspec.Raw(request.raw or b"null"),
        )
        self._journal.write(call)
        try:
            super().deliver(request, delivery)
        except BaseException as error:
            self._journal.write(msgspec.structs.replace(call, error=f"{type(error).__name__}: {error}"))
            raise
        self._journal.write(msgspec.structs.replace(call, is_returned=True))
