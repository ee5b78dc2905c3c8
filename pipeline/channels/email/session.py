"""One connection over which mails go one after the other."""

import contextlib
import re
import smtplib
from collections.abc import Callable
from time import monotonic

from herald.pipeline.channel import PermanentError, TemporaryError, UnknownOutcomeError
from herald.pipeline.channels.email.client import Client
from herald.pipeline.channels.email.mail import Mail
from herald.pipeline.channels.email.replies import CLOSING, refusal
from herald.pipeline.deliver.deadline import Deadline

MAX_IDLE = 5.0  # seconds; servers wait for five minutes, proxies often for less
MAX_MAILS = 100  # over one connection; some providers end it there
FAREWELL = 1.0  # seconds for handing a QUIT to the system
_LEADING_DOT = re.compile(rb"(?m)^\.")

Reply = tuple[int, bytes]


class StaleError(TemporaryError):
    """The server had ended the connection before it saw anything of this mail."""


class Session:
    """A connection and what it may still be used for; one thread at a time."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._mails = 0
        self._is_usable = True
        self._since = monotonic()

    @property
    def is_usable(self) -> bool:
        """Whether the next mail may go over it: its last mail was answered, it is neither used up nor idle for long."""
        return self._is_usable and self._mails < MAX_MAILS and monotonic() - self._since < MAX_IDLE

    def send(self, mail: Mail, deadline: Deadline) -> None:
        """Return when the server has taken the mail.

        Raises StaleError when nothing of it was sent; PermanentError and TemporaryError when the server refused it or
        cannot have taken it; UnknownOutcomeError when all of it was sent and no answer came.
        """
        if mail.needs_utf8 and not self._client.has_extn("smtputf8"):
            raise PermanentError("the SMTP server takes no internationalised addresses (SMTPUTF8)")
        is_reused, self._mails, self._is_usable = self._mails > 0, self._mails + 1, False
        self._client.deadline = deadline
        try:
            self._introduce(mail, is_reused=is_reused)
            self._transmit(mail)
        finally:
            self._since = monotonic()
        self._is_usable = True

    def close(self) -> None:
        """Take leave where that is due, but wait for no answer: a delivery may be out of time."""
        if self._is_usable:
            self._client.deadline = Deadline(FAREWELL)
            with contextlib.suppress(smtplib.SMTPException):
                self._client.putcmd("QUIT")
        self._client.close()

    def _introduce(self, mail: Mail, *, is_reused: bool) -> None:
        try:
            code, text = self._client.mail(mail.sender, self._options(mail))
        except smtplib.SMTPException as error:
            raise self._lost(StaleError if is_reused else TemporaryError) from error
        if is_reused and code == CLOSING:
            raise StaleError("the SMTP server ended an idle connection")
        self._require(200, (code, text), is_destination_fault=True)
        self._require(200, self._ask(lambda: self._client.rcpt(mail.recipient)))
        self._require(300, self._ask(lambda: self._client.docmd("DATA")))

    def _options(self, mail: Mail) -> list[str]:
        size = [f"SIZE={len(mail.message)}"] if self._client.has_extn("size") else []
        return [*size, "SMTPUTF8", "BODY=8BITMIME"] if mail.needs_utf8 else size

    def _ask(self, command: Callable[[], Reply]) -> Reply:
        try:
            return command()
        except smtplib.SMTPException as error:
            raise self._lost(TemporaryError) from error

    def _require(self, kind: int, reply: Reply, *, is_destination_fault: bool = False) -> None:
        code, text = reply
        if kind <= code < kind + 100:
            return
        if code != CLOSING:
            self._reset()
        raise refusal(code, text, is_destination_fault=is_destination_fault)

    def _transmit(self, mail: Mail) -> None:
        try:
            self._client.send(_LEADING_DOT.sub(b"..", mail.message) + b".\r\n")
        except smtplib.SMTPException as error:
            raise self._lost(TemporaryError) from error
        try:
            code, text = self._client.getreply()
        except smtplib.SMTPException as error:
            raise UnknownOutcomeError("the SMTP server did not answer after it was sent the whole mail") from error
        if code // 100 not in {2, 4, 5}:
            raise UnknownOutcomeError("the SMTP server's answer to the whole mail is no answer of SMTP")
        self._require(200, (code, text))

    def _reset(self) -> None:
        with contextlib.suppress(smtplib.SMTPException):
            self._is_usable = self._client.rset()[0] == 250  # noqa: PLR2004 - done, RFC 5321

    def _lost(self, kind: type[TemporaryError]) -> TemporaryError:
        if self._client.deadline.is_over:
            return TemporaryError("the SMTP server did not answer in time")
        return kind("the connection to the SMTP server was lost")
