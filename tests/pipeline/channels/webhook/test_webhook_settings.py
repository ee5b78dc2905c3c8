"""Wrong settings of webhooks end the start; right ones say which secret signs."""

from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import WebhookVerificationError

from herald.outbox.settings import SettingsError
from tests.pipeline.channels.webhook.test_webhook import (
    NEW,
    OLD,
    OTHER,
    delivery,
    letter,
    make_channel,
    verified,
)
from tests.servers.http_server import HttpServer


@pytest.mark.parametrize(
    "secret",
    ["", "whsec_", "whsec_?", "whsec_secret!", "whsec_c2Vjc mV0", "whsec_c2VjcmV0===x", "c2VjcmV0", "wsec_c2VjcmV0"],
)
def test_a_malformed_secret_ends_the_start_and_is_not_shown(secret: str) -> None:
    with pytest.raises(SettingsError) as caught:
        make_channel(webhook_secrets={"a.example.com": [NEW, secret]})

    assert str(caught.value) == "HERALD_WEBHOOK_SECRETS: a secret of a.example.com is not whsec_ and base64"


def test_a_host_without_a_secret_ends_the_start() -> None:
    """Its webhooks would go out unsigned."""
    with pytest.raises(SettingsError, match=r"HERALD_WEBHOOK_SECRETS: a\.example\.com has no secret"):
        make_channel(webhook_secrets={"a.example.com": [], "*": [NEW]})


@pytest.mark.parametrize(
    "host",
    [
        "A.example.com",
        "https://a.example.com",
        "a.example.com/hooks",
        "a.example.com.",
        "*.example.com",
        "münchen.de",
        "",
    ],
)
def test_a_host_that_no_url_has_ends_the_start(host: str) -> None:
    with pytest.raises(SettingsError) as caught:
        make_channel(webhook_secrets={host: [NEW]})

    assert str(caught.value).startswith(f"HERALD_WEBHOOK_SECRETS: {host} is no host as URLs have it")


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("*", "https://a.example.com/"),
        ("a.example.com", "https://a.example.com:8443/"),
        ("a.example.com:8443", "https://A.example.com:8443/"),
        ("a.example.com:443", "http://a.example.com:443/"),
        ("xn--mnchen-3ya.de", "https://münchen.de/"),
        ("8.8.8.8", "https://8.8.8.8/"),
        ("2606:4700::1111", "https://[2606:4700::1111]/"),
        ("[2606:4700::1111]:8443", "https://[2606:4700::1111]:8443/"),
    ],
)
def test_a_secret_is_found_by_the_host_of_the_url(host: str, url: str) -> None:
    assert make_channel(webhook_secrets={host: [NEW]}).host(url)


def test_the_most_particular_host_signs() -> None:
    with HttpServer() as server:
        secrets = {"*": [OTHER], "127.0.0.1": [OLD], f"127.0.0.1:{server.port}": [NEW]}

        make_channel(webhook_secrets=secrets).deliver(letter(server.url()), delivery())

        (received,) = server.received
        assert verified(received, NEW)
        for secret in (OLD, OTHER):
            with pytest.raises(WebhookVerificationError):
                verified(received, secret)


def test_a_secret_may_lack_the_padding_of_base64() -> None:
    with HttpServer() as server:
        make_channel(webhook_secrets={"*": [OTHER.rstrip("=")]}).deliver(letter(server.url()), delivery())

        assert verified(server.received[0], OTHER)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"webhook_networks": ("10.0.0.0/33",)}, "HERALD_WEBHOOK_NETWORKS: '10.0.0.0/33'"),
        ({"webhook_networks": ("10.0.0.1/8",)}, "HERALD_WEBHOOK_NETWORKS: 10.0.0.1/8 has host bits set"),
        ({"webhook_networks": ("localhost",)}, "HERALD_WEBHOOK_NETWORKS: 'localhost'"),
        ({"webhook_ca_location": Path("/nowhere.pem")}, "HERALD_WEBHOOK_CA_LOCATION: /nowhere.pem: No such file"),
        ({"webhook_ca_location": Path(__file__)}, "HERALD_WEBHOOK_CA_LOCATION"),
    ],
)
def test_a_wrong_setting_is_named_at_the_start(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        make_channel(**settings)

    assert text in str(caught.value)
