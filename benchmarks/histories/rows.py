"""Histories as rows for COPY: what happened goes into the log, and its fold is the row of the projection."""

import io
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from benchmarks.histories.stories import Step
from herald.outbox.message.events import DEFAULT_PRIORITY, DeadLettered, Event, Recorded, Requested
from herald.outbox.message.state import COLUMNS, Message, fold
from herald.outbox.postgres.driver import Connection
from herald.outbox.registry import DEAD_LETTERS

OUTBOX = "COPY outbox (stream_id, version, type, topic, key, data, payload, recorded_at) FROM STDIN"
MESSAGES = f"COPY messages ({', '.join(COLUMNS)}) FROM STDIN"
_encode = msgspec.json.Encoder().encode
Row = tuple[object, ...]


class History(NamedTuple):
    """A message and everything that happened to it, oldest first."""

    events: list[Recorded]
    message: Message


def history(identity: UUID, at: datetime, steps: Sequence[Step], *, transaction: int) -> History:
    """What happened to a message that was accepted then, all of it written in one transaction."""
    events = [
        Recorded(stream_id=identity, version=version, event=event, transaction_id=transaction, recorded_at=at + after)
        for version, (after, event) in enumerate(steps, 1)
    ]
    return History(events, fold(events))


def copy(connection: Connection, histories: Sequence[History]) -> None:
    """Write them in the caller's transaction, the log in the order of its dates."""
    events = sorted((one for found in histories for one in found.events), key=lambda event: event.recorded_at)
    streams = {found.message.id: found.message for found in histories}
    with connection.cursor() as cursor:
        cursor.copy_expert(OUTBOX, _rows(_logged(event, streams[event.stream_id]) for event in events))
        cursor.copy_expert(MESSAGES, _rows(_projected(found.message) for found in histories))


def _logged(recorded: Recorded, message: Message) -> Row:
    event = recorded.event
    topic, fields = _published(event, message), _fields(event)
    data = bytes(getattr(event, "data", b"")).decode() or None
    if topic == DEAD_LETTERS:
        fields |= {"id": str(message.id), "topic": message.topic}
    key = message.key if topic else None
    payload = _encode(fields).decode()
    place = (recorded.stream_id, recorded.version, event.TYPE)
    return *place, topic, key, data, payload, recorded.recorded_at


def _published(event: Event, message: Message) -> str | None:
    """The topic that its record goes to."""
    if isinstance(event, Requested):
        return message.topic
    return DEAD_LETTERS if isinstance(event, DeadLettered) else None


def _fields(event: Event) -> dict[str, Any]:
    """Herald's own: what is published has its topic and key in columns, and the default priority is not stored."""
    columns = {"topic", "key", "data"} if isinstance(event, Requested) else {"data"}
    fields = {name: value for name, value in msgspec.structs.asdict(event).items() if name not in columns}
    return {name: value for name, value in fields.items() if value is not None and not _is_default(name, value)}


def _is_default(name: str, value: object) -> bool:
    return name == "priority" and value == DEFAULT_PRIORITY


def _projected(message: Message) -> Row:
    return tuple(getattr(message, name) for name in COLUMNS)


def _rows(rows: Iterable[Row]) -> io.StringIO:
    r"""COPY's text form. Nothing here has to be escaped: letters have neither tabs nor backslashes."""
    lines = ["\t".join("\\N" if value is None else str(value) for value in row) for row in rows]
    return io.StringIO("\n".join(lines) + "\n")
