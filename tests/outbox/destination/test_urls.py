"""Which text is the URL of a webhook, and which destination it names."""

import pytest

from herald.outbox.destination.urls import parse_url
from herald.outbox.message.notification import AddressError


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("ftp://example.com/", "must begin with https:// or http://"),
        ("https://example.com/#a", "fragment"),
        ("https://a:b@example.com/", "user name or a password"),
        ("https://exa mple.com/", "a space"),
        ("https://example.com:0/", "the port must be 1 to 65535"),
        ("https://example.com:65536/", "Port out of range"),
        ("https://-example.com/", "no domain name"),
        ("https://example.com/ä", "must be ASCII"),
        (f"https://example.com/{'a' * 2048}", "the limit is 2048"),
        (f"https://{'a' * 64}.example.com/", "no domain name"),
        ("https:///", "has no host"),
        ("https://[::1]example.com/", "only a port behind the brackets"),
        ("https://[::1]:8x/", "is no URL"),
        ("https://[fe80::1%eth0]/", "zone"),
        ("https://[127.0.0.1]/", "no (URL|IPv6 address)"),
        ("https://example.com./", "no domain name"),
        ("https://exa%6dple.com/", "no domain name"),
        ("https://example.com:\uff18\uff10/", "is no URL"),
        ("https://\uff11\uff12\uff17.1/", "is a number, but no IPv4 address"),
        ("", "must begin with"),
    ],
)
def test_what_is_no_url_is_refused_with_what_is_wrong(url: str, text: str) -> None:
    with pytest.raises(AddressError, match=text):
        parse_url(url)


@pytest.mark.parametrize(
    ("url", "authority"),
    [
        ("https://Example.COM/a?b=c", "example.com"),
        ("https://example.com:443/", "example.com"),
        ("http://example.com:443/", "example.com:443"),
        ("https://straße.example/", "xn--strae-oqa.example"),
        ("https://[2606:4700::1111]:8443/", "[2606:4700::1111]:8443"),
        ("https://[2606:4700:0::1111]:443/", "[2606:4700::1111]"),
        ("http://8.8.8.8/", "8.8.8.8"),
        ("https://8。8。8。8/", "8.8.8.8"),
        ("https://a_b.example.com", "a_b.example.com"),
    ],
)
def test_a_url_names_its_destination(url: str, authority: str) -> None:
    assert parse_url(url).authority == authority
