"""Header injection: every text goes through the real SMTP server, and what arrives is read without our own parser."""

import re
from collections.abc import Iterator
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.policy import SMTP, default
from email.utils import parseaddr

import pytest

from herald.outbox.destination.mailboxes import Mailbox
from herald.pipeline.channel import PermanentError
from herald.pipeline.channels.email import mail as composing
from herald.pipeline.channels.email.channel import EmailChannel
from tests.pipeline.channels.email.corpus import ADDRESSES_REFUSED, ADDRESSES_TAKEN, BREAKS, TEXTS
from tests.pipeline.channels.mail import SENDER, channel_to, delivery, letter
from tests.servers.smtp_script import TakenMail
from tests.servers.smtp_server import SmtpServer

ADA = "ada@example.com"
HEADERS = [
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "Auto-Submitted",
    "Content-Type",
    "Content-Transfer-Encoding",
    "MIME-Version",
]


@pytest.fixture(scope="module")
def server() -> Iterator[SmtpServer]:
    with SmtpServer() as server:
        yield server


@pytest.fixture(scope="module")
def channel(server: SmtpServer) -> Iterator[EmailChannel]:
    channel = channel_to(server)
    yield channel
    channel.close()


@pytest.fixture(autouse=True)
def _nothing_arrived(server: SmtpServer) -> None:
    server.mails.clear()
    server.finished.clear()


@pytest.mark.parametrize("text", BREAKS.values(), ids=BREAKS)
def test_a_subject_that_could_begin_a_header_is_refused(server: SmtpServer, channel: EmailChannel, text: str) -> None:
    with pytest.raises(PermanentError):
        channel.deliver(letter(ADA, subject=text), delivery())

    assert server.finished == []


@pytest.mark.parametrize("text", BREAKS.values(), ids=BREAKS)
@pytest.mark.parametrize("form", ["{} <ada@example.com>", '"{}" <ada@example.com>'], ids=["bare", "quoted"])
def test_a_name_that_could_begin_a_header_is_refused(
    server: SmtpServer, channel: EmailChannel, form: str, text: str
) -> None:
    with pytest.raises(PermanentError):
        channel.deliver(letter(form.format(text)), delivery())

    assert server.finished == []


@pytest.mark.parametrize("address", ADDRESSES_REFUSED.values(), ids=ADDRESSES_REFUSED)
def test_what_is_not_exactly_one_address_is_refused(server: SmtpServer, channel: EmailChannel, address: str) -> None:
    with pytest.raises(PermanentError):
        channel.deliver(letter(address), delivery())

    assert server.finished == []


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_any_other_subject_arrives_as_it_is_and_stays_text(
    server: SmtpServer, channel: EmailChannel, text: str
) -> None:
    channel.deliver(letter(ADA, subject=text), delivery())

    headers = only_what_was_asked_for(server.mails, ADA)
    assert str(make_header(decode_header(headers["Subject"]))) == text


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_any_other_name_arrives_as_it_is_and_stays_text(server: SmtpServer, channel: EmailChannel, text: str) -> None:
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')

    channel.deliver(letter(f'"{quoted}" <{ADA}>'), delivery())

    headers = only_what_was_asked_for(server.mails, ADA)
    name, address = parseaddr(headers["To"])
    assert (str(make_header(decode_header(name))), address) == (text, ADA)


@pytest.mark.parametrize("address", ADDRESSES_TAKEN.values(), ids=ADDRESSES_TAKEN)
def test_an_unusual_address_is_one_recipient(server: SmtpServer, channel: EmailChannel, address: str) -> None:
    channel.deliver(letter(address), delivery())

    assert only_what_was_asked_for(server.mails, address)["To"] == address


def test_the_longest_subject_arrives_and_a_longer_one_is_refused(server: SmtpServer, channel: EmailChannel) -> None:
    longest = "ü" * composing.MAX_SUBJECT

    channel.deliver(letter(ADA, subject=longest), delivery())
    with pytest.raises(PermanentError, match="at most 998 characters, not 999"):
        channel.deliver(letter(ADA, subject=longest + "x"), delivery())

    headers = only_what_was_asked_for(server.mails, ADA)
    assert str(make_header(decode_header(headers["Subject"]))) == longest


def test_the_check_notices_a_header_that_was_smuggled_in() -> None:
    smuggled = TakenMail(SENDER, [ADA], b"To: ada@example.com\r\nBcc: eve@example.com\r\n\r\nHi\r\n", 0.0)

    with pytest.raises(AssertionError):
        only_what_was_asked_for([smuggled], ADA)


def test_a_message_with_another_header_than_was_asked_for_is_not_sent() -> None:
    asked_for: dict[str, str | Mailbox] = {"From": Mailbox("", SENDER), "To": Mailbox("", ADA), "Subject": "Hi"}
    sound = EmailMessage(policy=SMTP)
    for name, value in {"From": SENDER, "To": ADA, "Subject": "Hi"}.items():
        sound[name] = value
    sound.set_content("Hi")
    message = sound.as_bytes()

    composing.verify(message, asked_for)

    for unsound in (
        message.replace(b"Subject: Hi", b"Subject: Hi\r\nBcc: eve@example.com"),
        message.replace(b"Subject: Hi", b"Subject: Hi\r\nSubject: Hi"),
        message.replace(b"Subject: Hi", b"Subject: Ho"),
        message.replace(b"Subject: Hi", b"Subject: Hi\r\n"),
        message.replace(b"To: ada@example.com", b"To: ada@example.com, eve@example.com"),
        message.replace(b"To: ada@example.com", b"To: eve@example.com"),
        message + b".\n",
    ):
        with pytest.raises(PermanentError, match="headers that were asked for"):
            composing.verify(unsound, asked_for)


def only_what_was_asked_for(mails: list[TakenMail], recipient: str) -> dict[str, str]:
    """The unfolded headers of the one mail that arrived: those of HEADERS, once each, for one recipient."""
    (mail,) = mails
    assert (mail.sender, mail.recipients) == (SENDER, [recipient])
    head, _, body = mail.content.decode("ascii").partition("\r\n\r\n")
    assert body == "You have mail.\r\n"
    assert not re.search(r"[^\x20-\x7e\r\n]|\r(?!\n)|(?<!\r)\n", head)
    lines = re.sub(r"\r\n(?=[ \t])", "", head).split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    assert [line.split(": ", 1)[0] for line in lines] == HEADERS
    assert message_from_bytes(mail.content, policy=default).keys() == HEADERS
    assert len(message_from_bytes(mail.content, policy=default)["To"].addresses) == 1
    return headers
