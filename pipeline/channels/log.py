"""The channel `log`: prints what it delivers."""

import structlog

from herald.outbox.settings import Settings
from herald.pipeline.channel import Delivery, Letter

SHOWN = 80  # characters of the content in the line
_log = structlog.get_logger()


class LogChannel:
    """One line per delivery, for development and as an audit trail."""

    name = "log"

    def host(self, _address: str) -> str:
        """Nothing outside: it has no breaker."""
        return ""

    def deliver(self, letter: Letter, delivery: Delivery) -> None:
        """Print it; the content is shortened."""
        _log.info(
            "notification_delivered",
            id=str(delivery.id),
            user_id=letter.user_id,
            event_name=letter.event,
            content=shortened(letter.content),
            attempt=delivery.attempt,
        )

    def close(self) -> None:
        """Nothing is open."""


def shortened(text: str) -> str:
    """The first 80 characters, marked when something was left out."""
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def make_channel(_settings: Settings) -> LogChannel:
    return LogChannel()
