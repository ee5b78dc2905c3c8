"""The channel `log`: prints what it delivers."""

import structlog

from pipeline.delivery import Delivery

SHOWN = 80  # characters of the content in the line
_log = structlog.get_logger()


class LogChannel:
    """One line per delivery, for development and as an audit trail."""

    name = "log"

    def deliver(self, *, user_id: str, event: str, content: str, delivery: Delivery) -> None:
        """Print it; the content is shortened."""
        _log.info(
            "notification_delivered",
            id=str(delivery.id),
            user_id=user_id,
            event_name=event,
            content=shortened(content),
            attempt=delivery.attempt,
        )


def shortened(text: str) -> str:
    """The first 80 characters, marked when something was left out."""
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


channel = LogChannel()
