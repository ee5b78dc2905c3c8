"""Refusals, broken connections and silence, from a real SMTP server."""

from time import monotonic

import pytest

from herald.pipeline.channel import PermanentError, TemporaryError, UnknownOutcomeError
from herald.pipeline.channels.email.channel import EmailChannel
from tests.pipeline.channels.mail import SENDER, channel_to, delivery, letter
from tests.servers.smtp_script import Moment
from tests.servers.smtp_server import SmtpServer

ADA = "ada@example.com"
TIMEOUT = 0.5  # seconds; for servers that do not answer


@pytest.mark.parametrize("at", ["MAIL", "RCPT", "DATA"])
def test_a_5xx_is_for_good(server: SmtpServer, channel: EmailChannel, at: Moment) -> None:
    server.answer(SENDER if at == "MAIL" else ADA, "554 5.7.1 not wanted here", at=at)

    with pytest.raises(PermanentError, match=r"^SMTP 554 5\.7\.1 not wanted here$"):
        channel.deliver(letter(ADA), delivery())

    assert server.mails == []


@pytest.mark.parametrize(
    ("at", "reply", "is_destination_fault"),
    [
        ("MAIL", "451 out of space", True),
        ("RCPT", "451 try again", False),
        ("DATA", "452 greylisted", False),
        ("MAIL", "421 going down", True),
        ("RCPT", "421 going down", True),
        ("DATA", "421 going down", True),
        ("MAIL", "530 log in first", True),
    ],
)
def test_a_4xx_is_for_now(
    server: SmtpServer, channel: EmailChannel, at: Moment, reply: str, *, is_destination_fault: bool
) -> None:
    server.answer(SENDER if at == "MAIL" else ADA, reply, at=at)

    with pytest.raises(TemporaryError, match=f"^SMTP {reply}$") as refused:
        channel.deliver(letter(ADA), delivery())

    assert refused.value.is_destination_fault is is_destination_fault
    assert server.mails == []


def test_a_refusal_keeps_the_connection(server: SmtpServer, channel: EmailChannel) -> None:
    server.answer(ADA, "451 try again", at="DATA")
    with pytest.raises(TemporaryError):
        channel.deliver(letter(ADA), delivery())

    channel.deliver(letter("bob@example.com"), delivery())

    assert server.recipients() == ["bob@example.com"]
    assert server.connections == 1


def test_a_connection_cut_after_the_whole_mail_leaves_its_outcome_unknown(
    server: SmtpServer, channel: EmailChannel
) -> None:
    server.cut_off(ADA)

    with pytest.raises(UnknownOutcomeError, match="did not answer"):
        channel.deliver(letter(ADA), delivery())

    assert server.finished == [ADA]
    assert server.connections == 1


def test_a_connection_cut_before_the_mail_is_for_now(server: SmtpServer, channel: EmailChannel) -> None:
    server.cut_off(ADA, at="RCPT")

    with pytest.raises(TemporaryError, match="lost") as lost:
        channel.deliver(letter(ADA), delivery())

    assert lost.value.is_destination_fault
    assert server.finished == []


def test_a_server_that_does_not_speak_smtp_after_the_mail_leaves_its_outcome_unknown(
    server: SmtpServer, channel: EmailChannel
) -> None:
    server.answer(ADA, "what?", at="DATA")

    with pytest.raises(UnknownOutcomeError, match="no answer of SMTP"):
        channel.deliver(letter(ADA), delivery())
    channel.deliver(letter("bob@example.com"), delivery())

    assert server.recipients() == ["bob@example.com"]
    assert server.connections == 2


@pytest.mark.parametrize("at", ["MAIL", "RCPT"])
@pytest.mark.parametrize("how", ["hang", "drip"])
def test_a_server_without_an_answer_is_left_at_the_deadline(
    server: SmtpServer, channel: EmailChannel, how: str, at: Moment
) -> None:
    getattr(server, how)(SENDER if at == "MAIL" else ADA, at=at)
    begin = monotonic()

    with pytest.raises(TemporaryError, match="in time") as late:
        channel.deliver(letter(ADA), delivery(timeout=TIMEOUT))

    assert TIMEOUT <= monotonic() - begin < TIMEOUT + 3.0
    assert late.value.is_destination_fault


@pytest.mark.parametrize("how", ["hang", "drip"])
def test_a_server_without_an_answer_to_the_whole_mail_leaves_its_outcome_unknown_at_the_deadline(
    server: SmtpServer, channel: EmailChannel, how: str
) -> None:
    getattr(server, how)(ADA, at="DATA")
    begin = monotonic()

    with pytest.raises(UnknownOutcomeError):
        channel.deliver(letter(ADA), delivery(timeout=TIMEOUT))

    assert TIMEOUT <= monotonic() - begin < TIMEOUT + 3.0


def test_a_server_that_stops_reading_is_left_at_the_deadline_with_the_mail_unsent(
    server: SmtpServer, channel: EmailChannel
) -> None:
    server.stop_reading(ADA)
    begin = monotonic()

    with pytest.raises(TemporaryError, match="in time"):
        channel.deliver(letter(ADA, content=("x" * 70 + "\n") * 200_000), delivery(timeout=1.5))

    assert monotonic() - begin < 5.0  # it would read for minutes
    assert server.finished == []


def test_a_server_that_greets_with_421_is_for_now(server: SmtpServer, channel: EmailChannel) -> None:
    server.greeting = "421 too busy"

    with pytest.raises(TemporaryError, match=r"^SMTP 421 too busy$") as refused:
        channel.deliver(letter(ADA), delivery())

    assert refused.value.is_destination_fault


def test_a_server_that_is_away_is_for_now(server: SmtpServer, channel: EmailChannel) -> None:
    server.stop()

    with pytest.raises(TemporaryError, match="Connection refused") as away:
        channel.deliver(letter(ADA), delivery())

    assert away.value.is_destination_fault


def test_a_host_without_an_address_is_for_now(server: SmtpServer) -> None:
    channel = channel_to(server, smtp_host="mail.invalid")

    with pytest.raises(TemporaryError, match="cannot be used"):
        channel.deliver(letter(ADA), delivery())
