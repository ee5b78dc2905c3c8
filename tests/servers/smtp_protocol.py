"""aiosmtpd, made to follow a script."""

import asyncio
import threading
from collections.abc import Callable
from time import time
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.servers.smtp_script import Moment, SmtpScript, TakenMail

DRIP = 0.05  # seconds between two bytes of a server that never ends its reply


class ScriptedController(Controller):
    """Listens in a thread of its own."""

    def __init__(self, script: SmtpScript, **options: Any) -> None:
        super().__init__(_Handler(script), **options)
        self._script = script
        self.is_ready = threading.Event()  # the controller itself connects once before

    def factory(self) -> SMTP:
        return _Connection(self._script, self.is_ready, self.handler, **self.SMTP_kwargs)


class _Connection(SMTP):
    def __init__(self, script: SmtpScript, is_counted: threading.Event, handler: Any, **options: Any) -> None:
        super().__init__(handler, **options)
        self._script, self._is_counted = script, is_counted
        self._has_greeted = self._is_open = False

    def connection_lost(self, error: Exception | None) -> None:
        if self._is_open:
            self._is_open = False
            self._script.open_connections -= 1
        super().connection_lost(error)

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802 - aiosmtpd's name
        if self.envelope and self._script.deaf.intersection(self.envelope.rcpt_tos):
            assert isinstance(self.transport, asyncio.Transport)
            await super().push("354 go on")
            self.transport.pause_reading()
            await asyncio.Event().wait()
        await super().smtp_DATA(arg)

    async def push(self, status: Any) -> None:
        if not self._has_greeted and self._is_counted.is_set():
            self._script.connections += 1
            self._script.open_connections += 1
            self._is_open = True
            status = self._script.greeting or status
        self._has_greeted = True
        await super().push(status)


class _Handler:
    """Named as aiosmtpd wants it."""

    def __init__(self, script: SmtpScript) -> None:
        self._script = script

    async def handle_MAIL(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        del session
        return await self._reply(server, "MAIL", address, lambda: _begin(envelope, address, options))

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        del session, options
        return await self._reply(server, "RCPT", address, lambda: _accept(envelope, address))

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        del session
        recipient = envelope.rcpt_tos[0]
        self._script.finished.append(recipient)
        return await self._reply(server, "DATA", recipient, lambda: self._take(envelope))

    async def _reply(self, server: SMTP, at: Moment, recipient: str, consent: Callable[[], str]) -> str:
        script, step = self._script, (at, recipient)
        if step in script.cut:
            assert isinstance(server.transport, asyncio.Transport)
            server.transport.abort()
        if step in script.hanging or step in script.cut:
            await asyncio.Event().wait()
        while step in script.dripping:
            await server._writer.drain()  # noqa: SLF001 - aiosmtpd offers no other way
            server._writer.write(b"2")  # noqa: SLF001
            await asyncio.sleep(DRIP)
        return script.once.pop(step, None) or script.answers.get(step) or consent()

    def _take(self, envelope: Envelope) -> str:
        assert envelope.mail_from is not None
        assert isinstance(envelope.original_content, bytes)
        mail = TakenMail(envelope.mail_from, list(envelope.rcpt_tos), envelope.original_content, time())
        self._script.mails.append(mail)
        return "250 taken"


def _begin(envelope: Envelope, address: str, options: list[str]) -> str:
    envelope.mail_from = address
    envelope.mail_options.extend(options)
    return "250 go on"


def _accept(envelope: Envelope, address: str) -> str:
    envelope.rcpt_tos.append(address)
    return "250 known"
