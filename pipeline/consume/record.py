"""What stands on a topic: as it arrived, and as what it turned out to be."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec

from herald.outbox.message.dates import ANY_TIME, Dates

UNREADABLE = "its headers cannot be read"

Headers = Sequence[tuple[str, bytes | None]] | None


class Arrival(msgspec.Struct, frozen=True, gc=False):
    """A Kafka record as Quix hands it over; `timestamp` in milliseconds since 1970, by the producer or the broker.

    `defect` says what of it could not even be read.
    """

    value: bytes | None
    key: bytes | None
    timestamp: int
    headers: Headers
    topic: str
    partition: int
    offset: int
    defect: str | None = None

    @property
    def size(self) -> int:
        """Bytes of its value."""
        return len(self.value or b"")

    @property
    def path(self) -> str:
        """`topic/partition/offset`."""
        return f"{self.topic}/{self.partition}/{self.offset}"

    @property
    def place(self) -> dict[str, str | int]:
        """Where it stands, as the fields of a log line."""
        return {"topic": self.topic, "partition": self.partition, "offset": self.offset}


class Request(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A record that asks for a delivery, decoded.

    `version` is None where another producer wrote it. `defect` tells why Herald's own record does
    not fit its topic, or can be delivered nowhere: it is claimed all the same, to die with that reason.
    `error` is what nobody foresaw when it was decoded or routed: its attempt fails of it, as if its handler had
    raised it. `raw` is JSON that can be stored, or None where a defect makes it unfit even for that.
    `destination` is `channel` or `channel:host`, None where the topic's own handler delivers.
    """

    id: UUID
    request: int
    version: int | None
    topic: str
    key: str | None
    data: Any
    raw: bytes | None
    source: str
    arrival: Arrival
    traceparent: str | None = None
    defect: str | None = None
    error: BaseException | None = None
    dates: Dates = ANY_TIME
    destination: str | None = None

    @property
    def lane(self) -> tuple[str, str] | None:
        """What it must keep its order in: its topic and key."""
        return None if self.key is None else (self.topic, self.key)


class UndecodableError(Exception):
    """The record asks for nothing that can be delivered; the text is the reason for the dead-letter topic."""


class ElsewhereError(Exception):
    """The record is another Herald's, on topics that both use: it is delivered there, and here it is nobody's."""


class SourceError(Exception):
    """What decoding asks, Kafka or the database, does not answer: no record's fault."""
