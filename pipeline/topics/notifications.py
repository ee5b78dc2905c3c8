"""The topic `notifications`: each message goes to a user over a channel."""

from functools import cache

from outbox.notification import Notification
from outbox.registry import DEFAULT_CHANNEL
from pipeline.delivery import Channel, Delivery, PermanentError
from pipeline.handlers import load_channels
from pipeline.topic import Topic

_channels = cache(load_channels)  # not at import: the registry may still be growing


def handle(notification: Notification, delivery: Delivery) -> None:
    """Deliver over the channel that the notification names, or over the default one."""
    _channel(notification.channel or DEFAULT_CHANNEL).deliver(
        user_id=notification.key, event=notification.event, content=notification.content, delivery=delivery
    )


def _channel(name: str) -> Channel:
    found = _channels().get(name)
    if found is None:
        message = f"no channel is named {name!r}; there are: {', '.join(_channels())}"
        raise PermanentError(message)
    return found


topic = Topic(data=Notification, handle=handle, key=lambda notification: notification.key)
