"""The topic `notifications`: each message goes to a user over a channel."""

from herald.outbox.destination.check import check_subject
from herald.outbox.message.notification import Notification
from herald.pipeline.topic import Draft, Topic


def draft(notification: Notification) -> Draft:
    """What the channel gets; it is the one that the notification names, or the settings."""
    return Draft(
        channel=notification.channel,
        address=notification.address,
        user_id=notification.key,
        event=notification.event,
        subject=notification.subject,
        content=notification.content,
    )


topic = Topic(
    data=Notification,
    draft=draft,
    key=lambda notification: notification.key,
    dates=lambda notification: notification.dates,
    check=check_subject,
)
