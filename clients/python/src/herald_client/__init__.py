"""Herald for its callers: over HTTP (`Client`, `AsyncClient`)."""

from herald_client.answers import Accepted, Cancelled, Event, Message, Notification, Page, Status
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
from herald_client.requests import NotificationItem
from herald_client.retries import Patience

__all__ = [
    "Accepted",
    "AsyncClient",
    "Cancelled",
    "Client",
    "ConflictError",
    "Event",
    "FieldError",
    "HeraldError",
    "KeyReusedError",
    "Message",
    "NoAnswerError",
    "NotFoundError",
    "Notification",
    "NotificationItem",
    "Page",
    "Patience",
    "ProblemError",
    "RefusedError",
    "ServerError",
    "Status",
    "UnavailableError",
]
