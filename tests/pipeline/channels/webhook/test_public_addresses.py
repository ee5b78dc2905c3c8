"""No socket is opened to an address that is not public, however it is spelled and whatever a resolver says."""

import errno
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from herald.pipeline.channel import Delivery, Letter, PermanentError, TemporaryError
from herald.pipeline.channels.webhook import channel as webhook
from tests.pipeline.channels.waiting import Waiting
from tests.pipeline.channels.webhook.test_webhook import NEW, delivery, letter
from tests.pipeline.records import settings_for
from tests.servers.http_server import HttpServer

# As a resolver names them, and as they stand in a URL.
ADDRESSES = [
    "0.0.0.0",  # noqa: S104 - refused, not bound
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.100.100.200",  # Alibaba's metadata
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",  # Azure's host
    "169.254.0.1",
    "169.254.169.254",  # metadata of most clouds
    "169.254.170.2",  # ECS
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",  # Oracle's metadata
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "192.168.255.255",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",  # compatible
    "::169.254.169.254",
    "::ffff:127.0.0.1",  # mapped
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1",  # translated
    "64:ff9b::10.0.0.1",  # NAT64
    "64:ff9b::169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b:1::169.254.169.254",  # NAT64 of one's own
    "100::1",
    "2001::1",  # Teredo
    "2001:0:a9fe:a9fe::1",
    "2001:10::1",
    "2001:db8::1",
    "2002:7f00:1::",  # 6to4
    "2002:a00:1::1",
    "2002:a9fe:a9fe::",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00::1",
    "fd00:ec2::254",  # AWS's metadata
    "fd20:ce::254",  # Google's metadata
    "fe80::1",
    "fe80::a9fe:a9fe",
    "febf::1",
    "fec0::1",
    "ff01::1",
    "ff02::1",
    "ff0e::1",
]
# Other spellings of loopback, private and metadata addresses, as other programs read them.
SPELLINGS = [
    "http://localhost/",
    "http://LOCALHOST/",
    "http://127.1/",
    "http://127.0.1/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0x7f.1/",
    "http://0177.0.0.1/",
    "http://017700000001/",
    "http://127.0.0.1./",
    "http://127。0。0。1/",
    "http://①②⑦.0.0.1/",
    "http://169.254.43518/",
    "http://0xa9fea9fe/",
    "http://2852039166/",
    "http://[::ffff:7f00:1]/",
    "http://[0:0:0:0:0:0:0:1]/",
    "http://[::1%25lo]/",
    "http://[fe80::1%25eth0]/",
    "http://user@127.0.0.1/",
    "http://example.com@127.0.0.1/",
    "http://127.0.0.1\\@example.com/",
    "http://127.0.0.1#@example.com/",
    "http:///127.0.0.1/",
    "http:127.0.0.1/",
    "HTTP://127.0.0.1/",
]

OF_THIS_MACHINE = {"127.0.0.1", "127.9.9.9", "0.0.0.0"}  # noqa: S104 - connected to, not bound
GetAddrInfo = Callable[..., list[Any]]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every address that any socket of this process was asked to connect to; it gets there only on this machine.

    So that a guard that is broken is seen, and sends nothing to a cloud's metadata.
    """
    asked: list[Any] = []

    class Watched(socket.socket):
        def connect(self, address: Any) -> None:
            asked.append(address)
            if address[0] not in OF_THIS_MACHINE:
                raise ConnectionRefusedError
            super().connect(address)

        def connect_ex(self, address: Any) -> int:
            asked.append(address)
            return super().connect_ex(address) if address[0] in OF_THIS_MACHINE else errno.ECONNREFUSED

    monkeypatch.setattr(socket, "socket", Watched)
    return asked


@pytest.fixture
def channel() -> Iterator[Waiting]:
    settings = settings_for("postgresql://nowhere/herald", webhook_secrets={"*": [NEW]})
    channel = Waiting(webhook.make_channel(settings))
    yield channel
    channel.close()


def answers(*sequence: list[str]) -> GetAddrInfo:
    """A resolver that names these addresses, a list for each time it is asked; the last one again and again."""
    left = list(sequence)

    def getaddrinfo(_host: str, port: int, **_more: Any) -> list[Any]:
        found = left.pop(0) if len(left) > 1 else left[0]
        return [place(address, port) for address in found]

    return getaddrinfo


def place(address: str, port: int) -> Any:
    if ":" in address:
        return (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, port, 0, 0))
    return (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))


def made() -> tuple[Letter, Delivery]:
    return letter("http://hooks.example.com/"), delivery(timeout=0.5)


def in_url(address: str) -> str:
    return f"http://[{address}]/" if ":" in address else f"http://{address}/"


def test_there_are_sixty_addresses() -> None:
    assert len(set(ADDRESSES)) == 60


@pytest.mark.parametrize("url", [*map(in_url, ADDRESSES), *SPELLINGS])
def test_no_literal_opens_a_socket(url: str, channel: Waiting, opened: list[Any]) -> None:
    with pytest.raises(PermanentError):
        channel.deliver(letter(url), delivery(timeout=0.5))

    assert opened == []


@pytest.mark.parametrize("address", ADDRESSES)
def test_no_answer_of_a_resolver_opens_a_socket(
    address: str, channel: Waiting, opened: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", answers([address]))

    with pytest.raises(TemporaryError, match=r"hooks\.example\.com leads elsewhere: .* is not public"):
        channel.deliver(*made())

    assert opened == []


@pytest.mark.parametrize("address", ADDRESSES)
def test_one_bad_answer_among_good_ones_opens_no_socket(
    address: str, channel: Waiting, opened: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", answers(["192.0.1.1", address]))

    with pytest.raises(TemporaryError, match=r"hooks\.example\.com leads elsewhere: .* is not public"):
        channel.deliver(*made())

    assert opened == []


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_answer_that_changes_after_the_first_look_up_opens_no_socket_to_it(
    address: str, monkeypatch: pytest.MonkeyPatch, opened: list[Any]
) -> None:
    """The first answer may be connected to (a server of this test stands there), every later one may not."""
    with HttpServer() as server:
        settings = settings_for(
            "postgresql://nowhere/herald", webhook_secrets={"*": [NEW]}, webhook_networks=("127.9.9.9/32",)
        )
        channel = Waiting(webhook.make_channel(settings))
        monkeypatch.setattr(socket, "getaddrinfo", answers(["127.9.9.9"], [address]))

        with pytest.raises(TemporaryError, match="no connection"):  # nobody listens there: the look-up is not repeated
            channel.deliver(letter(f"http://hooks.example.com:{server.port}/"), delivery(timeout=0.5))
        with pytest.raises(TemporaryError, match="is not public"):
            channel.deliver(letter(f"http://hooks.example.com:{server.port}/"), delivery(timeout=0.5))

    assert {asked[0] for asked in opened} == {"127.9.9.9"}


def test_a_name_that_led_elsewhere_for_a_while_is_tried_again(
    opened: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with HttpServer() as server:
        settings = settings_for(
            "postgresql://nowhere/herald", webhook_secrets={"*": [NEW]}, webhook_networks=("127.0.0.1/32",)
        )
        channel = Waiting(webhook.make_channel(settings))
        posted = letter(f"http://hooks.example.com:{server.port}/ok")
        monkeypatch.setattr(socket, "getaddrinfo", answers(["10.0.0.1"], ["127.0.0.1"]))

        with pytest.raises(
            TemporaryError, match=r"hooks\.example\.com leads elsewhere: 10\.0\.0\.1 is not public"
        ) as failed:
            channel.deliver(posted, delivery())
        channel.deliver(posted, delivery())

        assert failed.value.is_destination_fault
        assert opened == [("127.0.0.1", server.port)]


def test_a_name_that_does_not_exist_now_is_tried_again(channel: Waiting, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **_more: Any) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)

    with pytest.raises(TemporaryError, match="the host name cannot be resolved"):
        channel.deliver(*made())


def test_an_address_that_may_be_connected_to_is(opened: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the tests above would pass for any reason."""
    with HttpServer() as server:
        settings = settings_for(
            "postgresql://nowhere/herald", webhook_secrets={"*": [NEW]}, webhook_networks=("127.0.0.1/32",)
        )
        monkeypatch.setattr(socket, "getaddrinfo", answers(["127.0.0.1"]))

        Waiting(webhook.make_channel(settings)).deliver(
            letter(f"http://hooks.example.com:{server.port}/ok"), delivery()
        )

        assert opened == [("127.0.0.1", server.port)]
        assert server.received[0].headers["host"] == f"hooks.example.com:{server.port}"


def test_the_resolver_of_these_tests_answers_like_the_real_one() -> None:
    for address in ("127.0.0.1", "::1"):
        real = socket.getaddrinfo(address, 80, type=socket.SOCK_STREAM)

        assert [(family, where) for family, _, _, _, where in real] == [
            (family, where) for family, _, _, _, where in answers([address])(address, 80)
        ]


def test_an_address_that_the_system_takes_for_another_is_checked_where_it_ended(opened: list[Any]) -> None:
    """Linux connects 0.0.0.0 to 127.0.0.1."""
    with HttpServer() as server:
        settings = settings_for(
            "postgresql://nowhere/herald", webhook_secrets={"*": [NEW]}, webhook_networks=("0.0.0.0/8",)
        )

        with pytest.raises(PermanentError, match=r"127\.0\.0\.1 is not public"):
            Waiting(webhook.make_channel(settings)).deliver(letter(f"http://0.0.0.0:{server.port}/ok"), delivery())

        assert len(opened) == 1
        assert server.received == []


@pytest.mark.parametrize("place", [("2606:4700::1111", 80, 0, 2), ("2606:4700::1111%eth0", 80, 0, 2)])
def test_an_address_with_a_zone_opens_no_socket(
    place: tuple[Any, ...], channel: Waiting, opened: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolve(*_: Any, **_more: Any) -> list[Any]:
        return [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", place)]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)

    with pytest.raises(TemporaryError, match="is no plain IP address"):
        channel.deliver(*made())

    assert opened == []
