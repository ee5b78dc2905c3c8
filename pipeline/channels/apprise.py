"""The channel `apprise`: whatever the library Apprise can reach, at the URLs that an operator has named.

A message says only the name. Apprise tells no refusal for good from one for now, nor a delivery
whose answer was lost from none, so every failure is tried again: a receiver may get a message twice.
"""

import errno
import logging
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from pydantic import SecretStr

from herald.outbox.destination.names import check_destination
from herald.outbox.message.notification import AddressError
from herald.outbox.settings import Settings, SettingsError
from herald.pipeline.channel import Delivery, Letter, NotSetUpError, PermanentError, TemporaryError
from herald.pipeline.deliver.deadline import Deadline, within
from herald.pipeline.deliver.lack import shortage

if TYPE_CHECKING:
    from apprise import NotifyBase

URLS = "HERALD_APPRISE_URLS"


class AppriseChannel:
    """Destinations by name. Without any, it says so to every message."""

    name = "apprise"

    def __init__(self, urls: dict[str, SecretStr]) -> None:
        self._urls = urls

    def host(self, address: str) -> str:
        """The destination's name. Raises PermanentError for what is no name, NotSetUpError where no setting has it."""
        try:
            check_destination(address)
        except AddressError as error:
            raise PermanentError(str(error)) from None
        if address not in self._urls:
            raise NotSetUpError(f"{URLS} has no destination {address}", channel=self.name)
        return address

    def deliver(self, letter: Letter, delivery: Delivery) -> None:
        """Return when all of the destination's targets have taken it."""
        url = self._urls[self.host(letter.address)].get_secret_value()
        try:
            # not Apprise's own timeout: what that gives up on fills its few threads, and a process cannot end
            status = within(Deadline(delivery.timeout), lambda: _notify(url, letter, delivery.timeout))
        except TimeoutError:
            raise TemporaryError("Apprise did not deliver it in time", code="timeout") from None
        if status != "success":
            raise TemporaryError(f"Apprise did not deliver it: {status}") from _swallowed()

    def close(self) -> None:
        """Nothing stays open."""


def _swallowed() -> OSError | None:
    """Apprise keeps the errors of its clients to itself: whether this machine lacks anything can only be looked at."""
    lack = shortage()
    return None if lack is None else OSError(errno.EMFILE, lack.reason)


def make_channel(settings: Settings) -> AppriseChannel:
    """The channel as the settings want it. Raises SettingsError that names a wrong destination, never its URL."""
    schemes = {scheme.lower() for scheme in settings.apprise_schemes}
    for name, url in settings.apprise_urls.items():
        _check(name, url.get_secret_value(), schemes)
    if settings.apprise_urls:
        _load(settings.apprise_urls)
    return AppriseChannel(settings.apprise_urls)


def _check(name: str, url: str, schemes: set[str]) -> None:
    try:
        check_destination(name)
    except AddressError as error:
        raise SettingsError(f"{URLS}: {error}") from None
    scheme, separator, _ = url.partition("://")
    if not separator:
        raise SettingsError(f"{URLS}: the URL of {name} does not begin with a scheme and ://")
    if scheme.lower() not in schemes:
        raise SettingsError(f"{URLS}: the scheme {scheme} of {name} is not in HERALD_APPRISE_SCHEMES")


def _load(urls: dict[str, SecretStr]) -> None:
    """Let Apprise read each URL once, so that a wrong one is known at the start."""
    try:
        _library()
    except ImportError:
        raise SettingsError(f"{URLS} needs the extra: pip install 'herald[apprise]'") from None
    logger = logging.getLogger("apprise")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)  # it would print the URL
    try:
        for name, url in urls.items():
            if _service(url.get_secret_value(), timeout=1.0) is None:
                raise SettingsError(f"{URLS}: Apprise does not understand the URL of {name}")
    finally:
        logger.setLevel(level)


def _notify(url: str, letter: Letter, timeout: float) -> str:
    """Send it and return the outcome: `success`, `failure`, `partial`, `timeout` or `nomatch`."""
    service = _service(url, timeout)
    if service is None:
        return "nomatch"
    sender = _library().Apprise()  # a new one each time: one that is used again waits 5.5 s between two mails
    sender.add(service)
    title = letter.subject or letter.event
    sent = sender.notify(letter.content, title=title, body_format=_library().NotifyFormat.TEXT)
    return str(sent.status.name).lower()


def _service(url: str, timeout: float) -> "NotifyBase | None":
    """What sends to one URL; its own `cto` and `rto`, the seconds to connect and to read, count if they are shorter."""
    service: NotifyBase | None = _library().Apprise.instantiate(url)
    if service is not None:
        own = parse_qs(urlsplit(url).query)
        service.socket_connect_timeout = min(timeout, service.socket_connect_timeout if "cto" in own else timeout)
        service.socket_read_timeout = min(timeout, service.socket_read_timeout if "rto" in own else timeout)
    return service


def _library() -> ModuleType:
    """It takes up to 3 s to import, and is an extra that may be missing."""
    return import_module("apprise")
