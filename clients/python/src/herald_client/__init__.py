"""Herald for its callers: over HTTP (`Client`, `AsyncClient`), or in a transaction of their own."""

from herald_client.answers import Accepted, AcceptedOfMany, Cancelled, Event, Group, Message, Notification, Page, Status
from herald_client.client import AsyncClient, Client
from herald_client.errors import (
    ConflictError,
    FieldError,
    HeraldError,
    KeyReusedError,
    NoAnswerError,
    NotFoundError,
    ProblemError,
    RefusedError,
    ServerError,
    UnavailableError,
)
from herald_client.outbox import AsyncOutbox, Outbox
from herald_client.requests import NotificationItem
from herald_client.retries import Patience
from herald_client.statements import OutboxMessage

__all__ = [
    "Accepted",
    "AcceptedOfMany",
    "AsyncClient",
    "AsyncOutbox",
    "Cancelled",
    "Client",
    "ConflictError",
    "Event",
    "FieldError",
    "Group",
    "HeraldError",
    "KeyReusedError",
    "Message",
    "NoAnswerError",
    "NotFoundError",
    "Notification",
    "NotificationItem",
    "Outbox",
    "OutboxMessage",
    "Page",
    "Patience",
    "ProblemError",
    "RefusedError",
    "ServerError",
    "Status",
    "UnavailableError",
]
