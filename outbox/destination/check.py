"""Whether a message can go where it wants to, as far as that can be said when it is accepted.

Channels check again when they deliver; this is so that a caller is told at once. A channel that is not
listed here takes any address, or none.
"""

from collections.abc import Callable

from herald.outbox.destination.header_text import hidden_control
from herald.outbox.destination.mailboxes import parse_mailbox
from herald.outbox.destination.names import check_destination
from herald.outbox.destination.routes import choose
from herald.outbox.destination.urls import parse_url
from herald.outbox.message.notification import TOPIC, AddressError, Notification
from herald.outbox.registry import CHANNELS, registered_channels
from herald.outbox.settings import Settings


class TargetError(ValueError):
    """Nothing could be delivered so; `field` is `channel`, `address`, `subject` or `event`, the text says why."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(detail)
        self.field = field


def check_target(notification: Notification, settings: Settings) -> None:
    """Raise TargetError for a channel that is not registered or not set up, an address or a subject that is none."""
    check_subject(notification)
    channel, address = choose(
        settings,
        topic=TOPIC,
        event=notification.event,
        channel=notification.channel,
        address=notification.address,
    )
    if channel not in CHANNELS and channel not in registered_channels():
        raise TargetError("channel", f"no such channel: {channel}; registered: {', '.join(registered_channels())}")
    check = _CHECKS.get(channel)
    if check is None:
        return
    if missing := missing_settings(channel, settings):
        raise TargetError("channel", f"{channel} is not set up here: {missing}")
    if not address:
        raise TargetError("address", no_address(channel))
    try:
        check(address, settings)
    except AddressError as error:
        raise TargetError("address", str(error)) from None
    if channel == "email" and notification.subject is None:
        _check_line("event", notification.event)  # it becomes the subject


def missing_settings(channel: str, settings: Settings) -> str:
    """The settings that a registered channel lacks here, empty where it is set up."""
    return _MISSING[channel](settings) if channel in _MISSING else ""


def needs_address(channel: str) -> bool:
    """Whether it delivers nothing without one; which one is what `check_target` says."""
    return channel in _CHECKS


def no_address(channel: str) -> str:
    """What is said of a message that has none, at the door and where it is used."""
    return f"is required by the channel {channel}"


def check_subject(notification: Notification) -> None:
    """Raise TargetError for a subject that no mail can have.

    Whatever the channel: a route may lead to another one by the time it is delivered.
    """
    if notification.subject is not None:
        _check_line("subject", notification.subject)


def _check_line(field: str, text: str) -> None:
    if control := hidden_control(text):
        raise TargetError(field, f"contains no control characters, here {control}")


def _check_webhook(address: str, settings: Settings) -> None:
    url = parse_url(address)
    if not {url.authority, url.host, "*"} & settings.webhook_secrets.keys():
        message = f"HERALD_WEBHOOK_SECRETS has no secret for {url.authority}"
        raise AddressError(message)


def _check_apprise(address: str, settings: Settings) -> None:
    check_destination(address)
    if address not in settings.apprise_urls:
        message = f"no destination is named {address}; there are: {', '.join(sorted(settings.apprise_urls))}"
        raise AddressError(message)


_CHECKS: dict[str, Callable[[str, Settings], object]] = {
    "webhook": _check_webhook,
    "email": lambda address, _settings: parse_mailbox(address),
    "apprise": _check_apprise,
}
_MISSING: dict[str, Callable[[Settings], str]] = {
    "webhook": lambda settings: "" if settings.webhook_secrets else "HERALD_WEBHOOK_SECRETS",
    "email": lambda settings: "" if settings.smtp_host else "HERALD_SMTP_HOST and HERALD_EMAIL_FROM",
    "apprise": lambda settings: "" if settings.apprise_urls else "HERALD_APPRISE_URLS",
}
