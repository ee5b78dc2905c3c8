"""Open connections to one server, shared by the threads that deliver.

A connection is used by one delivery at a time. After an answer it goes back, and the next delivery takes the one that
was used last: mails that come one after the other share one connection, mails that come at once have one each. A
connection is closed after 100 mails, after 5 idle seconds, and after anything but an answer. It is not asked first
whether it still lives: MAIL FROM asks that, and a mail that finds it closed there goes over a new one, once.
"""

import contextlib
import re
import smtplib
import threading
from collections.abc import Iterator
from time import monotonic

from herald.outbox.threads import Thread
from herald.pipeline.channel import PermanentError, TemporaryError, UnknownOutcomeError
from herald.pipeline.channels.email.client import Client
from herald.pipeline.channels.email.mail import Mail
from herald.pipeline.channels.email.replies import CLOSING, DONE, refusal
from herald.pipeline.channels.email.server import Server
from herald.pipeline.deliver.deadline import Deadline

MAX_IDLE = 5.0  # seconds; servers wait for five minutes, proxies often for less
MAX_MAILS = 100  # over one connection; some providers end it there
FAREWELL = 1.0  # seconds for handing a QUIT to the system
_LEADING_DOT = re.compile(rb"(?m)^\.")


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
            self._transmit(mail, is_reused=is_reused)
            self._require(200, self._answer())
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

    def _transmit(self, mail: Mail, *, is_reused: bool) -> None:
        with self._unless_lost(StaleError if is_reused else TemporaryError):
            code, text = self._client.mail(mail.sender, self._options(mail))
        if is_reused and code == CLOSING:
            raise StaleError("the SMTP server ended an idle connection")
        with self._unless_lost(TemporaryError):
            self._require(200, (code, text), is_destination_fault=True)
            self._require(200, self._client.rcpt(mail.recipient))
            self._require(300, self._client.docmd("DATA"))
            self._client.send(_LEADING_DOT.sub(b"..", mail.message) + b".\r\n")

    def _options(self, mail: Mail) -> list[str]:
        size = [f"SIZE={len(mail.message)}"] if self._client.has_extn("size") else []
        return [*size, "SMTPUTF8", "BODY=8BITMIME"] if mail.needs_utf8 else size

    def _answer(self) -> tuple[int, bytes]:
        """To the whole mail."""
        try:
            code, text = self._client.getreply()
        except smtplib.SMTPException as error:
            raise UnknownOutcomeError("the SMTP server did not answer after it was sent the whole mail") from error
        if code // 100 not in {2, 4, 5}:
            raise UnknownOutcomeError("the SMTP server's answer to the whole mail is no answer of SMTP")
        return code, text

    def _require(self, kind: int, reply: tuple[int, bytes], *, is_destination_fault: bool = False) -> None:
        code, text = reply
        if kind <= code < kind + 100:
            return
        if code != CLOSING:
            with contextlib.suppress(smtplib.SMTPException):
                self._is_usable = self._client.rset()[0] == DONE
        raise refusal(code, text, is_destination_fault=is_destination_fault)

    @contextlib.contextmanager
    def _unless_lost(self, kind: type[TemporaryError]) -> Iterator[None]:
        try:
            yield
        except smtplib.SMTPException as error:
            if self._client.deadline.is_over:
                raise TemporaryError("the SMTP server did not answer in time", code="timeout") from error
            raise kind("the connection to the SMTP server was lost", code="connection") from error


class Pool:
    """Call `send` from many threads, `close` once."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._idle: list[Session] = []
        self._lock = threading.Lock()
        self._has_reaper = False
        self._closed = threading.Event()

    def send(self, mail: Mail, deadline: Deadline) -> None:
        """Return when the server has taken the mail; raises what `Session.send` and `Server.open` raise."""
        used = self._take()
        if used is not None:
            with contextlib.suppress(StaleError):
                return self._send(used, mail, deadline)
        return self._send(Session(self._server.open(deadline)), mail, deadline)

    def close(self) -> None:
        """Close the idle connections; those in use are closed when their mail is answered."""
        with self._lock:
            self._closed.set()
            idle, self._idle = self._idle, []
        _close(idle)

    def _send(self, session: Session, mail: Mail, deadline: Deadline) -> None:
        try:
            session.send(mail, deadline)
        finally:
            self._give_back(session)

    def _take(self) -> Session | None:
        with self._lock:
            return self._idle.pop() if self._idle and self._idle[-1].is_usable else None

    def _give_back(self, session: Session) -> None:
        with self._lock:
            is_kept = session.is_usable and not self._closed.is_set()
            if is_kept:
                self._idle.append(session)
                self._begin_reaper()
        if not is_kept:
            _close([session])

    def _begin_reaper(self) -> None:
        if not self._has_reaper:
            with contextlib.suppress(RuntimeError):  # no thread can be started now: the next mail tries again
                Thread(self._reap, "reaper").start()
                self._has_reaper = True

    def _reap(self) -> None:
        while not self._closed.wait(MAX_IDLE):
            with self._lock:
                expired = [session for session in self._idle if not session.is_usable]
                self._idle = [session for session in self._idle if session not in expired]
                self._has_reaper = goes_on = bool(self._idle)
            _close(expired)
            if not goes_on:
                return


def _close(sessions: list[Session]) -> None:
    for session in sessions:
        session.close()
