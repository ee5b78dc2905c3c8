"""The channel `email`: one mail per message, over one SMTP server.

A refusal with 5xx makes the message dead, one with 4xx is tried again. The mail's Message-ID and all
its bytes are the same on every attempt, so that a receiver can tell a repetition.
"""

import contextlib
import re
import socket
import ssl

from herald.outbox.destination.mailboxes import Mailbox, parse_mailbox
from herald.outbox.message.notification import AddressError
from herald.outbox.settings import Settings, SettingsError
from herald.pipeline.channel import Delivery, Letter, NotSetUpError, PermanentError
from herald.pipeline.channels.email.mail import compose
from herald.pipeline.channels.email.pool import Pool
from herald.pipeline.channels.email.server import Login, Server
from herald.pipeline.deliver.deadline import Deadline

_FULL_NAME = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")


class EmailChannel:
    """Mail from one sender; `address` is a mailbox, with or without a display name."""

    name = "email"

    def __init__(self, *, sender: Mailbox, server: Server) -> None:
        self._sender = sender
        self._host = server.host
        self._pool = Pool(server)

    def host(self, address: str) -> str:
        """The SMTP server's: all mail goes through it. Raises PermanentError for what is no mailbox."""
        _recipient(address)
        return self._host

    def deliver(self, letter: Letter, delivery: Delivery) -> None:
        deadline = Deadline(delivery.timeout)
        mail = compose(letter, delivery.id, sender=self._sender, recipient=_recipient(letter.address))
        self._pool.send(mail, deadline)

    def close(self) -> None:
        """Close the connections that are idle; one in use is closed after its mail."""
        self._pool.close()


class UnsetEmailChannel:
    """In place of one that nobody set up here: its messages wait, and say which settings are missing."""

    name = "email"

    def host(self, _address: str) -> str:
        raise NotSetUpError("HERALD_SMTP_HOST and HERALD_EMAIL_FROM are not set", channel=self.name)

    def deliver(self, letter: Letter, _delivery: Delivery) -> None:
        self.host(letter.address)

    def close(self) -> None:
        """Nothing is open."""


def make_channel(settings: Settings) -> EmailChannel | UnsetEmailChannel:
    """The channel as the settings want it. Raises SettingsError for settings that do not fit together."""
    if settings.smtp_host is None and settings.email_from is None:
        return UnsetEmailChannel()
    if settings.smtp_host is None:
        raise SettingsError("HERALD_EMAIL_FROM is set, so HERALD_SMTP_HOST must be")
    if settings.email_from is None:
        raise SettingsError("HERALD_SMTP_HOST is set, so HERALD_EMAIL_FROM must be")
    sender = _sender(settings.email_from)
    server = Server(
        host=settings.smtp_host,
        port=settings.smtp_port,
        security=settings.smtp_security,
        certificates=_certificates(settings),
        local_name=_local_name(sender),
        login=_login(settings),
    )
    return EmailChannel(sender=sender, server=server)


def _recipient(address: str) -> Mailbox:
    try:
        return parse_mailbox(address)
    except AddressError as error:
        raise PermanentError(str(error)) from None


def _sender(text: str) -> Mailbox:
    try:
        return parse_mailbox(text)
    except AddressError as error:
        raise SettingsError(f"HERALD_EMAIL_FROM: {error}") from None


def _certificates(settings: Settings) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=settings.smtp_ca_location)
    except OSError as error:  # also what OpenSSL says about a file without certificates
        raise SettingsError(f"HERALD_SMTP_CA_LOCATION: {error.strerror or error}") from None


def _login(settings: Settings) -> Login | None:
    username, password = settings.smtp_username, settings.smtp_password
    if username is None and password is None:
        return None
    if not username or not password:
        raise SettingsError("HERALD_SMTP_USERNAME and HERALD_SMTP_PASSWORD belong together")
    if settings.smtp_security == "none":
        raise SettingsError("HERALD_SMTP_PASSWORD is not sent in the clear: HERALD_SMTP_SECURITY must not be none")
    if not (username + password.get_secret_value()).isascii():
        raise SettingsError("HERALD_SMTP_USERNAME and HERALD_SMTP_PASSWORD must be ASCII")
    return Login(username, password)


def _local_name(sender: Mailbox) -> str:
    """What EHLO says: a full name, because servers may insist on one; else the sender's domain."""
    with contextlib.suppress(OSError):
        name = socket.gethostname()
        return name if _FULL_NAME.fullmatch(name) else sender.domain
    return sender.domain
