"""Reads for people and for the API: they bypass the rules and change nothing.

JSON columns are handed through as text: decoding would round the numbers of large decimals.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy import Connection, text

from herald.outbox.message.notification import TOPIC, Name
from herald.outbox.message.state import Status
from herald.outbox.postgres.log import DATA
from herald.outbox.postgres.paging import PIECE, QUEUES, STREAMED, bounded
from herald.outbox.registry import DEFAULT_CHANNEL


class NotificationState(msgspec.Struct, frozen=True, kw_only=True):
    """A notification as it stands; `group` is what it was asked for together with, if anything.

    `content` and `address` are null for whoever may not read contents. `due_at` is the next attempt's date, or the end
    of the current one's lease. `destination` is channel and host of the newest attempt or postponement. `again_of` was
    over and was sent again as this one.
    """

    id: UUID
    user_id: str
    event: str
    content: str | None
    channel: str
    address: str | None
    status: Status
    attempts: int
    reason: str | None
    reason_code: str | None
    due_at: datetime | None
    deliver_by: datetime | None
    priority: int
    destination: str | None
    group: UUID | None
    created_at: datetime
    updated_at: datetime
    sent_at: datetime | None
    again_of: UUID | None


class MessageState(msgspec.Struct, frozen=True, kw_only=True):
    """A message as it stands; `request` counts how often delivery was asked for.

    `data` is null for whoever may not read contents. `again_of` was over and was sent again as this one, `sent_again`
    are those that this one was sent again as.
    """

    id: UUID
    topic: str
    key: str | None
    data: msgspec.Raw
    status: Status
    attempts: int
    request: int
    reason: str | None
    reason_code: str | None
    due_at: datetime | None
    deliver_by: datetime | None
    priority: int
    destination: str | None
    group: UUID | None
    accepted_at: datetime
    updated_at: datetime
    sent_at: datetime | None
    again_of: UUID | None
    sent_again: Sequence[UUID]


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """Which notifications: everything that is given must fit."""

    user_id: Name | None = None
    event: Name | None = None
    status: Status | None = None
    group: UUID | None = None


class EventState(msgspec.Struct, frozen=True):
    """An event in its stream: `version` counts from 1, `data` holds its fields, and in `data` what was given."""

    version: int
    type: str
    recorded_at: datetime
    data: msgspec.Raw


# The page first, and of each of its messages what it carries, from the log.
_NOTIFICATIONS = f"""
SELECT id, coalesce(data ->> 'user_id', key, '') AS user_id, coalesce(event, '') AS event,
       coalesce(data ->> 'content', '') AS content,
       coalesce(data ->> 'channel', split_part(destination, ':', 1), :default_channel) AS channel,
       data ->> 'address' AS address, status, attempts, reason, reason_code, due_at, deliver_by, priority, destination,
       group_id AS "group", accepted_at AS created_at, updated_at, sent_at, again_of
FROM (
    SELECT m.*, {DATA} AS data FROM messages AS m WHERE topic = :topic <conditions> ORDER BY id DESC LIMIT :limit
) AS page
ORDER BY id DESC
"""

# by `key`, which is the user's id on this topic and has the index `messages_of_a_key`
_FILTERS = {
    "user_id": "key = :user_id",
    "event": "event = :event",
    "status": "status = :status{among}",
    "group": "group_id = :group",
    "before": "id < :before",
}

_MESSAGE = text(f"""
SELECT id, topic, key, {DATA}::text AS data, status, attempts, request, reason, reason_code, due_at, deliver_by,
       priority, destination, group_id AS "group", accepted_at, updated_at, sent_at, again_of,
       sent_again(id) AS sent_again
FROM messages AS m
WHERE id = :id
""")

# What is published has its topic and key in columns, for the relay.
_EVENTS = text("""
SELECT version, type, recorded_at, data::text AS given, (payload || CASE
    WHEN type = 'message.requested' THEN jsonb_build_object('topic', topic, 'key', key) ELSE '{}' END)::text AS fields
FROM outbox
WHERE stream_id = :id AND EXISTS (SELECT FROM messages WHERE id = :id AND topic = coalesce(:topic, topic))
ORDER BY version
""")

EVERYTHING = Chosen()
_FIXED = {"topic": TOPIC, "default_channel": DEFAULT_CHANNEL}


def find_notification(connection: Connection, notification_id: UUID) -> NotificationState | None:
    """One notification, or None."""
    statement = text(_NOTIFICATIONS.replace("<conditions>", "AND id = :id"))
    rows = connection.execute(statement, {**_FIXED, "id": notification_id, "limit": 1})
    row = rows.mappings().one_or_none()
    return NotificationState(**row) if row else None


def list_notifications(
    connection: Connection, chosen: Chosen = EVERYTHING, *, limit: int, before: UUID | None = None
) -> tuple[list[NotificationState], bool]:
    """At most `limit` notifications, newest first by id, those older than `before`; and whether there are more."""
    asked = {name: getattr(chosen, name) for name in Chosen.__struct_fields__} | {"before": before}
    filters = {name: value for name, value in asked.items() if value is not None}
    queue = QUEUES.get(chosen.status or "")
    among = f" AND m.id IN (SELECT q.id FROM {queue} AS q)" if queue else ""
    conditions = " ".join(f"AND {_FILTERS[name].format(among=among)}" for name in filters)
    statement = text(_NOTIFICATIONS.replace("<conditions>", conditions))
    reading = connection.execution_options(stream_results=limit > STREAMED, max_row_buffer=PIECE)
    with reading.execute(statement, {**_FIXED, **filters, "limit": limit + 1}) as rows:
        return bounded((NotificationState(**row) for row in rows.mappings()), _size, limit=limit)


def _size(notification: NotificationState) -> int:
    return len((notification.content or "").encode())


def events_of(
    connection: Connection, message_id: UUID, *, topic: str | None = None, with_data: bool = True
) -> Sequence[EventState]:
    """The events of a message (on that topic), oldest first; none when there is no such message.

    `with_data`: what was given, too.
    """
    rows = connection.execute(_EVENTS, {"id": message_id, "topic": topic})
    return [
        EventState(version, kind, recorded_at, _joined(given if with_data else None, fields))
        for version, kind, recorded_at, given, fields in rows
    ]


def find_message(connection: Connection, message_id: UUID) -> MessageState | None:
    """One message of any topic, or None."""
    row = connection.execute(_MESSAGE, {"id": message_id}).mappings().one_or_none()
    return MessageState(**{**row, "data": msgspec.Raw(row["data"])}) if row else None


def _joined(given: str | None, fields: str) -> msgspec.Raw:
    """An event's fields as one object, with what was given among them as it was given."""
    if given is None:
        return msgspec.Raw(fields)
    others = "" if fields == "{}" else f", {fields[1:-1]}"
    return msgspec.Raw(f'{{"data": {given}{others}}}')
