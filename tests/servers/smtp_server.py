"""A mail server of the tests that does as it is told and keeps what it takes."""

from types import TracebackType
from typing import Any, Literal, Self

from aiosmtpd.smtp import AuthResult, LoginPassword

from tests.servers.certificates import Certificate
from tests.servers.ports import free_port
from tests.servers.smtp_protocol import ScriptedController
from tests.servers.smtp_script import SmtpScript

Security = Literal["starttls", "tls", "none"]


class SmtpServer(SmtpScript):
    """Listens on 127.0.0.1; a restart keeps the port, the mails and what was asked for.

    `logins` are passwords by user name: with them nobody sends without logging in.
    """

    host = "127.0.0.1"

    def __init__(
        self,
        *,
        security: Security = "none",
        certificate: Certificate | None = None,
        logins: dict[str, str] | None = None,
        takes_utf8: bool = True,
    ) -> None:
        super().__init__()
        self.port = free_port()
        self._security, self._certificate = security, certificate
        self._logins, self._takes_utf8 = logins, takes_utf8
        self._controller: ScriptedController | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._controller:
            self.stop()

    def start(self) -> None:
        self._controller = ScriptedController(self, **self._options())
        self._controller.start()
        self._controller.is_ready.set()

    def stop(self) -> None:
        """Cut every connection and listen no longer."""
        assert self._controller
        self._controller.stop()
        self._controller = None

    def _options(self) -> dict[str, Any]:
        context = self._certificate.context() if self._certificate else None
        options: dict[str, Any] = {"enable_SMTPUTF8": self._takes_utf8, "hostname": self.host, "port": self.port}
        if self._security == "starttls":
            options |= {"tls_context": context, "require_starttls": True}
        if self._security == "tls":
            options |= {"ssl_context": context}
        if self._logins is not None:
            options |= {"authenticator": self._authenticate, "auth_required": True}
            options |= {"auth_require_tls": self._security == "starttls"}
        return options

    def _authenticate(self, *arguments: Any) -> AuthResult:
        login = arguments[-1]
        assert isinstance(login, LoginPassword)
        expected = (self._logins or {}).get(login.login.decode())
        return AuthResult(success=expected == login.password.decode(), handled=False)
