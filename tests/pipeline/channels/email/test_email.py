"""What becomes of a mail, against a real SMTP server."""

import threading
from concurrent.futures import ThreadPoolExecutor
from email import message_from_bytes
from email.policy import default

import pytest

from herald.pipeline.channel import PermanentError
from herald.pipeline.channels.email.channel import EmailChannel
from herald.pipeline.channels.email.pool import MAX_MAILS
from tests.pipeline.channels.mail import ACCEPTED, MESSAGE_ID, SENDER, channel_to, delivery, letter
from tests.servers.eventually import eventually
from tests.servers.smtp_server import SmtpServer

ADA = "ada@example.com"
TIMEOUT = 0.5  # seconds; for servers that do not answer


def test_a_mail_carries_what_was_asked_for(server: SmtpServer) -> None:
    channel = channel_to(server, email_from="Herald <herald@example.com>")

    channel.deliver(letter("Ada Lovelace <ada@example.com>", content="Größe: 5\n.\nend"), delivery())

    (mail,) = server.mails
    parsed = message_from_bytes(mail.content, policy=default)
    assert (mail.sender, mail.recipients) == (SENDER, [ADA])
    assert dict(parsed.items()) == {
        "From": "Herald <herald@example.com>",
        "To": "Ada Lovelace <ada@example.com>",
        "Subject": "Hello",
        "Date": ACCEPTED,
        "Message-ID": f"<{MESSAGE_ID}@example.com>",
        "Auto-Submitted": "auto-generated",
        "Content-Type": 'text/plain; charset="utf-8"',
        "Content-Transfer-Encoding": parsed["Content-Transfer-Encoding"],
        "MIME-Version": "1.0",
    }
    assert parsed.get_content().replace("\r\n", "\n") == "Größe: 5\n.\nend\n"


def test_a_letter_without_a_subject_has_its_event_for_one(server: SmtpServer, channel: EmailChannel) -> None:
    channel.deliver(letter(ADA, subject=None), delivery())

    assert b"\r\nSubject: greeted\r\n" in server.mails[0].content


@pytest.mark.parametrize(
    "content", ["\0 and \x1b[31m", "a\rb\r\nc\nd", "x" * 5000, "\n.\r\n.\n", "Bcc: eve@example.com"]
)
def test_any_content_arrives_as_it_was(server: SmtpServer, channel: EmailChannel, content: str) -> None:
    channel.deliver(letter(ADA, content=content), delivery())

    arrived = message_from_bytes(server.mails[0].content, policy=default).get_content()
    assert arrived.splitlines() == content.splitlines()
    assert max(len(line) for line in server.mails[0].content.splitlines()) <= 78


def test_a_content_with_half_a_character_is_refused_for_good(server: SmtpServer, channel: EmailChannel) -> None:
    with pytest.raises(PermanentError, match="surrogate"):
        channel.deliver(letter(ADA, content="\ud800"), delivery())

    assert server.mails == []


def test_a_repeated_mail_is_the_same_to_the_byte(server: SmtpServer, channel: EmailChannel) -> None:
    for attempt in (1, 2):
        channel.deliver(letter("Ädä <ada@example.com>", subject="Grüße"), delivery(attempt=attempt))

    first, second = server.mails
    assert first.content == second.content


def test_mails_one_after_the_other_share_a_connection_and_one_refusal_stops_no_other(
    server: SmtpServer, channel: EmailChannel
) -> None:
    recipients = [f"user{number}@example.com" for number in range(25)]
    server.answer(recipients[7], "550 5.1.1 <user7@example.com>: user unknown")
    refused = {}

    for recipient in recipients:
        try:
            channel.deliver(letter(recipient), delivery())
        except PermanentError as error:
            refused[recipient] = str(error)

    assert refused == {recipients[7]: "SMTP 550 5.1.1 user unknown"}
    assert server.recipients() == [recipient for recipient in recipients if recipient != recipients[7]]
    assert server.connections == 1


def test_mails_at_once_have_connections_of_their_own(server: SmtpServer, channel: EmailChannel) -> None:
    recipients = [f"user{number}@example.com" for number in range(40)]

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda recipient: channel.deliver(letter(recipient), delivery()), recipients))

    assert sorted(server.recipients()) == sorted(recipients)
    assert 1 <= server.connections <= 8
    assert all(len(mail.recipients) == 1 for mail in server.mails)


def test_a_connection_ends_after_a_hundred_mails(server: SmtpServer, channel: EmailChannel) -> None:
    for _ in range(MAX_MAILS + 1):
        channel.deliver(letter(ADA), delivery())

    assert server.connections == 2


def test_an_idle_connection_is_closed(
    server: SmtpServer, channel: EmailChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("herald.pipeline.channels.email.pool.MAX_IDLE", 0.05)

    channel.deliver(letter(ADA), delivery())

    assert server.connections == 1
    eventually(lambda: server.open_connections == 0, what="the connection is closed")


def test_a_closed_channel_leaves_no_connection_and_no_thread(server: SmtpServer, channel: EmailChannel) -> None:
    before = reapers()
    channel.deliver(letter(ADA), delivery())
    assert server.open_connections == 1
    assert reapers() > before

    channel.close()

    eventually(lambda: server.open_connections == 0, what="the connection is closed")
    eventually(lambda: reapers() <= before, what="the reaper ends")


def reapers() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "reaper"}


def test_a_mail_survives_the_restart_of_the_server_before_it(server: SmtpServer, channel: EmailChannel) -> None:
    channel.deliver(letter(ADA), delivery())
    server.stop()
    server.start()

    channel.deliver(letter("bob@example.com"), delivery())

    assert server.recipients() == [ADA, "bob@example.com"]


def test_a_connection_that_the_server_has_had_enough_of_is_replaced(server: SmtpServer, channel: EmailChannel) -> None:
    channel.deliver(letter(ADA), delivery())
    server.answer_once(SENDER, "421 idle for too long", at="MAIL")

    channel.deliver(letter("bob@example.com"), delivery())

    assert server.recipients() == [ADA, "bob@example.com"]
    assert server.connections == 2


def test_a_local_part_beyond_ascii_arrives_where_the_server_takes_it(server: SmtpServer, channel: EmailChannel) -> None:
    channel.deliver(letter("Ädä <ädä@exämple.com>"), delivery())

    assert server.recipients() == ["ädä@xn--exmple-cua.com"]
    assert "ädä@xn--exmple-cua.com".encode() in server.mails[0].content


def test_a_local_part_beyond_ascii_is_refused_where_the_server_does_not() -> None:
    with SmtpServer(takes_utf8=False) as server:
        channel = channel_to(server)

        with pytest.raises(PermanentError, match="SMTPUTF8"):
            channel.deliver(letter("ädä@example.com"), delivery())
        channel.deliver(letter("Ädä <ada@exämple.com>"), delivery())

        assert server.recipients() == ["ada@xn--exmple-cua.com"]
        assert server.connections == 1
        channel.close()
