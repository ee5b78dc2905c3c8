"""Reads for people and for the API: they bypass the rules and change nothing.

JSON columns are handed through as text: decoding would round the numbers of large decimals.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import Connection, RowMapping, text

from herald.outbox.message.notification import TOPIC
from herald.outbox.message.state import Status
from herald.outbox.postgres.paging import PIECE, STREAMED, bounded
from herald.outbox.registry import DEFAULT_CHANNEL


class NotificationState(msgspec.Struct, frozen=True, kw_only=True):
    """A notification as it stands.

    `due_at` is the next attempt's date, or the end of the current one's lease. `destination` is channel and
    host of the newest attempt or postponement.
    """

    id: UUID
    user_id: str
    event: str
    content: str
    channel: str
    address: str | None
    status: Status
    attempts: int
    reason: str | None
    due_at: datetime | None
    deliver_by: datetime | None
    priority: int
    destination: str | None
    created_at: datetime
    updated_at: datetime
    sent_at: datetime | None


class MessageState(msgspec.Struct, frozen=True, kw_only=True):
    """A message as it stands; `request` counts how often delivery was asked for."""

    id: UUID
    topic: str
    key: str | None
    data: msgspec.Raw
    status: Status
    attempts: int
    request: int
    reason: str | None
    due_at: datetime | None
    deliver_by: datetime | None
    priority: int
    destination: str | None
    accepted_at: datetime
    updated_at: datetime
    sent_at: datetime | None


class EventState(msgspec.Struct, frozen=True, kw_only=True):
    """An event in its stream: `version` counts from 1, `data` holds its payload and its headers."""

    version: int
    type: str
    recorded_at: datetime
    data: msgspec.Raw


_NOTIFICATION = """
SELECT id, data ->> 'user_id' AS user_id, data ->> 'event' AS event, data ->> 'content' AS content,
       coalesce(data ->> 'channel', split_part(destination, ':', 1), :default_channel) AS channel,
       data ->> 'address' AS address, status, attempts, reason, due_at, deliver_by, priority, destination,
       accepted_at AS created_at, updated_at, sent_at
FROM messages
WHERE topic = :topic
"""

# by `key`, which is the user's id on this topic and has the index `messages_of_a_key`
_FILTERS = {
    "user_id": "key = :user_id",
    "event": "data ->> 'event' = :event",
    "status": "status = :status",
    "before": "id < :before",
}

_MESSAGE = text("""
SELECT id, topic, key, data::text AS data, status, attempts, request, reason, due_at, deliver_by, priority, destination,
       accepted_at, updated_at, sent_at
FROM messages
WHERE id = :id
""")

# A request carries the caller's data as its payload: nested, so that no field of it hides a header's.
_EVENTS = text("""
SELECT version, type, recorded_at, (CASE
    WHEN type = 'message.requested'
        THEN jsonb_build_object('topic', topic, 'key', key, 'data', payload) || headers
    ELSE payload || headers
END)::text AS data
FROM outbox
WHERE stream_id = :id AND EXISTS (SELECT FROM messages WHERE id = :id AND topic = coalesce(:topic, topic))
ORDER BY version
""")

_FIXED = {"topic": TOPIC, "default_channel": DEFAULT_CHANNEL}


def find_notification(connection: Connection, notification_id: UUID) -> NotificationState | None:
    """One notification, or None."""
    rows = connection.execute(text(f"{_NOTIFICATION}AND id = :id"), {**_FIXED, "id": notification_id})
    row = rows.mappings().one_or_none()
    return NotificationState(**row) if row else None


def list_notifications(
    connection: Connection,
    *,
    limit: int,
    user_id: str | None = None,
    event: str | None = None,
    status: Status | None = None,
    before: UUID | None = None,
) -> tuple[list[NotificationState], bool]:
    """At most `limit` notifications, newest first by id, those older than `before`; and whether there are more."""
    asked = {"user_id": user_id, "event": event, "status": status, "before": before}
    filters = {name: value for name, value in asked.items() if value is not None}
    conditions = "".join(f"AND {_FILTERS[name]}\n" for name in filters)
    statement = text(f"{_NOTIFICATION}{conditions}ORDER BY id DESC LIMIT :limit")
    reading = connection.execution_options(stream_results=limit > STREAMED, max_row_buffer=PIECE)
    with reading.execute(statement, {**_FIXED, **filters, "limit": limit + 1}) as rows:
        return bounded((NotificationState(**row) for row in rows.mappings()), _size, limit=limit)


def _size(notification: NotificationState) -> int:
    return len(notification.content.encode())


def events_of_notification(connection: Connection, notification_id: UUID) -> Sequence[EventState]:
    """Its events, oldest first; none when there is no such notification."""
    return events_of(connection, notification_id, topic=TOPIC)


def events_of(connection: Connection, message_id: UUID, *, topic: str | None = None) -> Sequence[EventState]:
    """The events of a message (on that topic), oldest first; none when there is no such message."""
    rows = connection.execute(_EVENTS, {"id": message_id, "topic": topic})
    return [EventState(**_with_raw_data(row)) for row in rows.mappings()]


def find_message(connection: Connection, message_id: UUID) -> MessageState | None:
    """One message of any topic, or None."""
    row = connection.execute(_MESSAGE, {"id": message_id}).mappings().one_or_none()
    return MessageState(**_with_raw_data(row)) if row else None


def _with_raw_data(row: RowMapping) -> dict[str, Any]:
    return {**row, "data": msgspec.Raw(row["data"])}
