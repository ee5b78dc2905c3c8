"""Where mail goes, and how a connection to it is opened: encrypted as it must be, and logged in."""

import contextlib
import smtplib
import socket
import ssl
from collections.abc import Iterator
from typing import Literal, NamedTuple

import msgspec
from pydantic import SecretStr

from herald.pipeline.channel import TemporaryError
from herald.pipeline.channels.email.client import Client
from herald.pipeline.channels.email.replies import describe
from herald.pipeline.deliver.deadline import Deadline
from herald.pipeline.deliver.dialling import connect, resolve

GREETING = 220


class Login(NamedTuple):
    """Who Herald is to the server."""

    username: str
    password: SecretStr


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """`local_name` is what the client calls itself; `starttls` is required, never a mere offer."""

    host: str
    port: int
    security: Literal["starttls", "tls", "none"]
    certificates: ssl.SSLContext
    local_name: str
    login: Login | None = None

    def open(self, deadline: Deadline) -> Client:
        """A connection that is ready for mail.

        Raises TemporaryError that blames the destination, also for a login that it refuses: that is
        for an operator to repair, and no message's fault.
        """
        with _as_temporary(deadline):
            client = Client(self._dial(deadline), local_name=self.local_name, deadline=deadline)
            try:
                self._introduce(client)
            except BaseException:
                client.close()
                raise
            return client

    def _dial(self, deadline: Deadline) -> socket.socket:
        connection = connect(resolve(self.host, self.port, deadline), deadline)
        return self._encrypted(connection, deadline) if self.security == "tls" else connection

    def _encrypted(self, connection: socket.socket, deadline: Deadline) -> ssl.SSLSocket:
        try:
            connection.settimeout(deadline.left())
            return self.certificates.wrap_socket(connection, server_hostname=self.host)
        except BaseException:
            connection.close()
            raise

    def _introduce(self, client: Client) -> None:
        code, text = client.getreply()
        if code != GREETING:
            raise smtplib.SMTPConnectError(code, text)
        client.ehlo_or_helo_if_needed()
        if self.security == "starttls":
            self._start_tls(client)
        if self.login:
            client.login(self.login.username, self.login.password.get_secret_value())

    def _start_tls(self, client: Client) -> None:
        if not client.has_extn("starttls"):
            raise smtplib.SMTPNotSupportedError("it does not offer STARTTLS")
        code, text = client.docmd("STARTTLS")
        if code != GREETING or client.sock is None:
            raise smtplib.SMTPResponseException(code, text)
        client.use(self._encrypted(client.sock, client.deadline))
        # RFC 3207: what the server said of itself before does not count
        client.ehlo_resp = client.helo_resp = None
        client.ehlo_or_helo_if_needed()


@contextlib.contextmanager
def _as_temporary(deadline: Deadline) -> Iterator[None]:
    try:
        yield
    except smtplib.SMTPResponseException as error:
        text = error.smtp_error if isinstance(error.smtp_error, bytes) else error.smtp_error.encode()
        raise TemporaryError(describe(error.smtp_code, text), code="smtp_reply") from None
    except ssl.SSLCertVerificationError as error:
        what = f"the SMTP server's certificate is not trusted: {error.verify_message}"
        raise TemporaryError(what, code="tls") from None
    except OSError as error:  # every error of smtplib is one as well
        if deadline.is_over:
            raise TemporaryError("the SMTP server did not answer in time", code="timeout") from None
        what = f"the SMTP server cannot be used: {error.strerror or error}"
        raise TemporaryError(what, code="connection") from None
