"""Settings for deliveries to servers of the tests, and what became of them."""

import json
from collections.abc import Sequence
from typing import Any

from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch
from tests.servers.smtp_server import SmtpServer

SECRET = "whsec_bmV3IHNlY3JldCBvZiB0aGUgdGVzdHM="  # noqa: S105 - of the tests
WEBHOOKS = {"HERALD_WEBHOOK_SECRETS": json.dumps({"*": [SECRET]}), "HERALD_WEBHOOK_NETWORKS": "127.0.0.0/8"}


def mail_to(server: SmtpServer) -> dict[str, str]:
    """The settings of the channel `email` for this server."""
    return {
        "HERALD_SMTP_HOST": server.host,
        "HERALD_SMTP_PORT": str(server.port),
        "HERALD_SMTP_SECURITY": "none",
        "HERALD_EMAIL_FROM": "Herald <herald@example.com>",
    }


def policies(**channels: dict[str, Any]) -> dict[str, str]:
    """What single channels do differently."""
    return {"HERALD_CHANNELS": json.dumps(channels)}


def letter(user: str, channel: str, address: str) -> dict[str, Any]:
    return {"user_id": user, "event": "greeting", "content": "hello", "channel": channel, "address": address}


def ends(connection: Connection, messages: Sequence[str]) -> list[tuple[str, str | None]]:
    """Status and reason of each, in their order."""
    rows = fetch(
        connection, "SELECT id::text, status, reason FROM messages WHERE id = ANY (%s::uuid[])", list(messages)
    )
    found = {message: (status, reason) for message, status, reason in rows}
    return [found[message] for message in messages]


def count_events(connection: Connection, kind: str) -> int:
    """How many events of this type the log has."""
    ((found,),) = fetch(connection, "SELECT count(*) FROM outbox WHERE type = %s", f"message.{kind}")
    return int(found)
