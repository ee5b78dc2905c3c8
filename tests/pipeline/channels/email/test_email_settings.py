from pathlib import Path
from typing import Any

import pytest

from herald.outbox.settings import SettingsError
from herald.pipeline.channel import Channel, NotSetUpError, PermanentError
from herald.pipeline.channels.email.channel import make_channel
from tests.pipeline.channels.mail import delivery, letter, settings

SET_UP = {"smtp_host": "mail.example.com", "email_from": "Herald <herald@example.com>"}


def test_a_channel_that_nobody_set_up_takes_no_message_and_names_the_settings() -> None:
    channel: Channel = make_channel(settings())

    for refusing in (lambda: channel.host("ada@example.com"), lambda: channel.deliver(letter("x@y"), delivery())):
        with pytest.raises(NotSetUpError, match="HERALD_SMTP_HOST and HERALD_EMAIL_FROM"):
            refusing()
    channel.close()


def test_every_mail_has_the_smtp_server_for_its_destination() -> None:
    channel: Channel = make_channel(settings(**SET_UP))

    assert channel.name == "email"
    assert channel.host("Ada <ada@example.com>") == "mail.example.com"
    with pytest.raises(PermanentError, match="has an @"):
        channel.host("ada")


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"email_from": None}, "HERALD_EMAIL_FROM must be"),
        ({"smtp_host": None}, "HERALD_SMTP_HOST must be"),
        ({"email_from": "herald"}, "HERALD_EMAIL_FROM: an address has an @"),
        ({"email_from": "a@example.com, b@example.com"}, "HERALD_EMAIL_FROM: "),
        ({"email_from": "A\nBcc: b@example.com <a@example.com>"}, r"HERALD_EMAIL_FROM: .* U\+000A"),
        ({"smtp_ca_location": Path("/nowhere/ca.pem")}, "HERALD_SMTP_CA_LOCATION: No such file"),
        ({"smtp_ca_location": Path(__file__)}, "HERALD_SMTP_CA_LOCATION: "),
        ({"smtp_username": "herald"}, "HERALD_SMTP_USERNAME and HERALD_SMTP_PASSWORD belong together"),
        ({"smtp_password": "hush"}, "HERALD_SMTP_USERNAME and HERALD_SMTP_PASSWORD belong together"),
        ({"smtp_username": "herald", "smtp_password": "hüsch"}, "must be ASCII"),
        (
            {"smtp_username": "herald", "smtp_password": "hush", "smtp_security": "none"},
            "HERALD_SMTP_SECURITY must not be none",
        ),
    ],
)
def test_settings_that_do_not_fit_together_are_named_at_the_start(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint) as refused:
        make_channel(settings(**(SET_UP | changes)))

    assert "hush" not in str(refused.value)
