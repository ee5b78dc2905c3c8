"""Letters, deliveries and the channel `email` as the tests use them."""

from typing import Any
from uuid import UUID

from herald.outbox.settings import Settings
from herald.pipeline.channel import Delivery, Letter
from herald.pipeline.channels.email.channel import EmailChannel, make_channel
from tests.servers.smtp_server import SmtpServer

MESSAGE_ID = UUID("01936f7d-2a00-7000-8000-000000000001")
ACCEPTED = "Wed, 27 Nov 2024 21:18:14 +0000"  # the time in MESSAGE_ID
SENDER = "herald@example.com"


def settings(**changes: Any) -> Settings:
    return Settings(database_url="postgresql://herald@localhost/herald", _env_file=None, **changes)


def channel_to(server: SmtpServer, **changes: Any) -> EmailChannel:
    """Unencrypted, unless the changes say otherwise."""
    wanted = {"smtp_host": server.host, "smtp_port": server.port, "smtp_security": "none", "email_from": SENDER}
    channel = make_channel(settings(**(wanted | changes)))
    assert isinstance(channel, EmailChannel)
    return channel


def letter(address: str, *, subject: str | None = "Hello", content: str = "You have mail.") -> Letter:
    return Letter(address=address, user_id="42", event="greeted", subject=subject, content=content, data=b"{}")


def delivery(*, attempt: int = 1, timeout: float = 10.0, message_id: UUID = MESSAGE_ID) -> Delivery:
    return Delivery(id=message_id, topic="notifications", key="42", attempt=attempt, timeout=timeout)
