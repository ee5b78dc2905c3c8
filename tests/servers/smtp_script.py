"""What a mail server of the tests is told to do, and what it saw."""

from typing import Literal

import msgspec

Moment = Literal["MAIL", "RCPT", "DATA"]


class TakenMail(msgspec.Struct, frozen=True):
    """One mail that was answered with 250; `content` ends each line with CRLF, `at` is seconds since 1970."""

    sender: str
    recipients: list[str]
    content: bytes
    at: float


class SmtpScript:
    """What it is told for MAIL goes by the sender's address, for RCPT and DATA by the recipient's.

    `connections` counts those that were greeted; `finished` are the recipients of mails whose final
    dot arrived, taken or not; `greeting` replaces the first line.
    """

    def __init__(self) -> None:
        self.mails: list[TakenMail] = []
        self.connections = 0
        self.open_connections = 0
        self.greeting: str | None = None
        self.finished: list[str] = []
        self.answers: dict[tuple[Moment, str], str] = {}
        self.once: dict[tuple[Moment, str], str] = {}
        self.deaf: set[str] = set()
        self.hanging: set[tuple[Moment, str]] = set()
        self.dripping: set[tuple[Moment, str]] = set()
        self.cut: set[tuple[Moment, str]] = set()

    def answer(self, address: str, reply: str, *, at: Moment = "RCPT") -> None:
        """Reply that, for example `550 user unknown`, to what this address sends or gets."""
        self.answers[at, address] = reply

    def answer_once(self, address: str, reply: str, *, at: Moment = "RCPT") -> None:
        """The same, the next time only."""
        self.once[at, address] = reply

    def stop_reading(self, recipient: str) -> None:
        """Agree to the mail and read nothing of it."""
        self.deaf.add(recipient)

    def hang(self, address: str, *, at: Moment = "RCPT") -> None:
        """Never reply again."""
        self.hanging.add((at, address))

    def drip(self, address: str, *, at: Moment = "RCPT") -> None:
        """Reply one byte at a time, without an end."""
        self.dripping.add((at, address))

    def cut_off(self, address: str, *, at: Moment = "DATA") -> None:
        """End the connection instead of replying; at DATA that is after the whole mail."""
        self.cut.add((at, address))

    def recipients(self) -> list[str]:
        """Of the mails that were taken, in their order."""
        return [recipient for mail in self.mails for recipient in mail.recipients]
