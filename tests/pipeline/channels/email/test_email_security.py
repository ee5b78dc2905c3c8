"""Encryption and logins, against a real SMTP server."""

import socket
from time import monotonic

import pytest

from herald.pipeline.channel import TemporaryError
from tests.pipeline.channels.mail import channel_to, delivery, letter
from tests.servers.certificates import Certificate
from tests.servers.smtp_server import Security, SmtpServer

ADA = "ada@example.com"
LOGINS = {"herald": "open sesame"}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate(tmp_path_factory.mktemp("certificate"))


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_mails_go_over_one_encrypted_connection_to_a_trusted_server(
    certificate: Certificate, security: Security
) -> None:
    with SmtpServer(security=security, certificate=certificate) as server:
        channel = channel_to(server, smtp_security=security, smtp_ca_location=certificate.path)

        for _ in range(3):
            channel.deliver(letter(ADA, content="x" * 200_000), delivery())
        channel.close()

    assert server.recipients() == [ADA] * 3
    assert server.connections == 1


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_server_with_a_certificate_that_nobody_signed_gets_nothing(
    certificate: Certificate, security: Security
) -> None:
    with SmtpServer(security=security, certificate=certificate) as server:
        channel = channel_to(server, smtp_security=security)

        with pytest.raises(TemporaryError, match="certificate is not trusted: self-signed") as refused:
            channel.deliver(letter(ADA), delivery())

    assert refused.value.is_destination_fault
    assert server.finished == []


def test_a_certificate_of_another_name_is_not_trusted(certificate: Certificate) -> None:
    with SmtpServer(security="starttls", certificate=certificate) as server:
        channel = channel_to(server, smtp_host="localhost", smtp_security="starttls", smtp_ca_location=certificate.path)

        with pytest.raises(TemporaryError, match="Hostname mismatch"):
            channel.deliver(letter(ADA), delivery())

    assert server.finished == []


def test_a_server_without_starttls_gets_nothing() -> None:
    with SmtpServer() as server:
        channel = channel_to(server, smtp_security="starttls")

        with pytest.raises(TemporaryError, match="does not offer STARTTLS") as refused:
            channel.deliver(letter(ADA), delivery())

    assert refused.value.is_destination_fault
    assert server.finished == []


def test_a_server_that_does_not_speak_tls_is_for_now() -> None:
    with SmtpServer() as server:
        channel = channel_to(server, smtp_security="tls")

        with pytest.raises(TemporaryError, match="cannot be used"):
            channel.deliver(letter(ADA), delivery())


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_good_login_is_let_in(certificate: Certificate, security: Security) -> None:
    with SmtpServer(security=security, certificate=certificate, logins=LOGINS) as server:
        channel = channel_to(
            server,
            smtp_security=security,
            smtp_ca_location=certificate.path,
            smtp_username="herald",
            smtp_password="open sesame",  # noqa: S106 - of the tests
        )

        channel.deliver(letter(ADA), delivery())
        channel.close()

    assert server.recipients() == [ADA]


def test_a_refused_login_is_the_operators_to_repair_and_kills_no_message(certificate: Certificate) -> None:
    with SmtpServer(security="starttls", certificate=certificate, logins=LOGINS) as server:
        channel = channel_to(
            server,
            smtp_security="starttls",
            smtp_ca_location=certificate.path,
            smtp_username="herald",
            smtp_password="wrong",  # noqa: S106 - of the tests
        )

        with pytest.raises(TemporaryError, match=r"^SMTP 535 5\.7\.8 Authentication credentials invalid$") as refused:
            channel.deliver(letter(ADA), delivery())

    assert refused.value.is_destination_fault
    assert server.finished == []


def test_a_missing_login_kills_no_message(certificate: Certificate) -> None:
    with SmtpServer(security="starttls", certificate=certificate, logins=LOGINS) as server:
        channel = channel_to(server, smtp_security="starttls", smtp_ca_location=certificate.path)

        with pytest.raises(TemporaryError, match=r"^SMTP 530 "):
            channel.deliver(letter(ADA), delivery())


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_server_that_never_says_a_word_is_left_at_the_deadline(security: Security) -> None:
    begin = monotonic()
    with SmtpServer() as server, socket.create_server((server.host, 0)) as silent:
        channel = channel_to(server, smtp_port=silent.getsockname()[1], smtp_security=security)

        with pytest.raises(TemporaryError, match="in time"):
            channel.deliver(letter(ADA), delivery(timeout=0.3))

    assert 0.3 <= monotonic() - begin < 0.7


def test_a_greeting_without_an_end_is_left_at_the_deadline() -> None:
    with SmtpServer() as server:
        server.greeting = "220-and"
        channel = channel_to(server)

        with pytest.raises(TemporaryError, match="in time"):
            channel.deliver(letter(ADA), delivery(timeout=0.3))
