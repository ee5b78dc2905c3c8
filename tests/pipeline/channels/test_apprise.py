"""What Apprise delivers, to a small HTTP server."""

import json
import logging
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic
from typing import Any

import pytest

from herald.outbox.settings import SettingsError
from herald.pipeline.channel import Channel, NotSetUpError, PermanentError, TemporaryError
from herald.pipeline.channels.apprise import AppriseChannel, make_channel
from tests.pipeline.channels.mail import delivery, letter, settings

OPS = "ops"


class Receiver(ThreadingHTTPServer):
    """Takes JSON and answers `status`, unless it hangs or drips: one header after the other, without an end."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = 200
        self.received: list[dict[str, Any]] = []
        self.drips = False
        self.hangs = False
        self.is_closing = threading.Event()

    @property
    def url(self) -> str:
        return f"json://user:hush@127.0.0.1:{self.server_port}/hook"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append(json.loads(body))
        if self.server.hangs:
            self.server.is_closing.wait(10)
        self.send_response(self.server.status)
        while self.server.drips and not self.server.is_closing.wait(0.02):
            self.send_header("X-More", "to come")
            self.flush_headers()
        self.end_headers()

    def log_message(self, *arguments: Any) -> None:
        del arguments


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        thread = threading.Thread(target=receiver.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield receiver
        receiver.is_closing.set()
        receiver.shutdown()
        thread.join()


def channel_to(receiver: Receiver, query: str = "") -> AppriseChannel:
    return make_channel(settings(apprise_urls={OPS: receiver.url + query}, apprise_schemes="json"))


def test_a_message_goes_to_the_url_that_its_address_names(receiver: Receiver) -> None:
    channel: Channel = channel_to(receiver)

    channel.deliver(letter(OPS, subject="Down", content="The *database* is <down>."), delivery())

    (received,) = receiver.received
    assert (received["title"], received["message"]) == ("Down", "The *database* is <down>.")
    assert channel.name == "apprise"
    assert channel.host(OPS) == OPS


def test_a_message_without_a_subject_has_its_event_for_one(receiver: Receiver) -> None:
    channel_to(receiver).deliver(letter(OPS, subject=None), delivery())

    assert receiver.received[0]["title"] == "greeted"


@pytest.mark.parametrize("status", [400, 403, 429, 500, 503])
def test_every_failure_is_for_now(receiver: Receiver, status: int) -> None:
    receiver.status = status

    with pytest.raises(TemporaryError, match=r"^Apprise did not deliver it: failure$"):
        channel_to(receiver).deliver(letter(OPS), delivery())


def test_a_receiver_that_is_away_is_for_now(receiver: Receiver) -> None:
    channel = make_channel(settings(apprise_urls={OPS: "json://127.0.0.1:1/"}, apprise_schemes="json"))

    with pytest.raises(TemporaryError):
        channel.deliver(letter(OPS), delivery())

    assert receiver.received == []


@pytest.mark.parametrize("query", ["", "?cto=60&rto=60"])
def test_a_receiver_without_an_end_is_left_at_the_deadline(receiver: Receiver, query: str) -> None:
    receiver.drips = True
    channel = channel_to(receiver, query)
    begin = monotonic()

    with pytest.raises(TemporaryError, match="in time"):
        channel.deliver(letter(OPS), delivery(timeout=0.5))

    assert 0.5 <= monotonic() - begin < 0.9


def test_the_timeout_of_a_url_counts_if_it_is_shorter(receiver: Receiver) -> None:
    receiver.hangs = True
    channel = channel_to(receiver, "?rto=0.2&+X-Team=ops")
    begin = monotonic()

    with pytest.raises(TemporaryError, match=r"^Apprise did not deliver it: failure$"):
        channel.deliver(letter(OPS), delivery())

    assert monotonic() - begin < 5


@pytest.mark.parametrize("address", ["OPS", "json://127.0.0.1/", "ops,dev", "", "x" * 65, "ops\n", "mailto://a:b@c"])
def test_what_is_no_name_is_refused_for_good(receiver: Receiver, address: str) -> None:
    channel = channel_to(receiver)

    with pytest.raises(PermanentError) as refused:
        channel.host(address)
    with pytest.raises(PermanentError):
        channel.deliver(letter(address), delivery())

    assert "://" not in str(refused.value)
    assert receiver.received == []


def test_a_name_that_this_process_does_not_have_may_be_known_to_another(receiver: Receiver) -> None:
    channel = channel_to(receiver)

    with pytest.raises(NotSetUpError):
        channel.deliver(letter("dev"), delivery())

    assert receiver.received == []


def test_a_channel_without_destinations_refuses_every_name_and_imports_nothing() -> None:
    channel = make_channel(settings())

    with pytest.raises(NotSetUpError, match="HERALD_APPRISE_URLS has no destination ops"):
        channel.host(OPS)


@pytest.mark.parametrize(
    ("urls", "schemes", "complaint"),
    [
        ({"ops": "json://hush@example.com"}, "", "the scheme json of ops is not in HERALD_APPRISE_SCHEMES"),
        ({"ops": "syslog://hush"}, "json,slack", "the scheme syslog of ops"),
        ({"ops": "json://hush@a", "dev": "xml://hush@b"}, "json", "the scheme xml of dev"),
        ({"ops": "hush@example.com"}, "json", "URL of ops does not begin with a scheme"),
        ({"Ops!": "json://hush@example.com"}, "json", "a destination is named with 1 to 64"),
        ({"ops": "slack://hush"}, "slack", "Apprise does not understand the URL of ops"),
    ],
)
def test_a_wrong_destination_is_named_at_the_start_without_its_secrets(
    urls: dict[str, str], schemes: str, complaint: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    with pytest.raises(SettingsError, match=complaint) as refused:
        make_channel(settings(apprise_urls=urls, apprise_schemes=schemes))

    assert str(refused.value).startswith("HERALD_APPRISE_URLS: ")
    assert "hush" not in str(refused.value) + caplog.text


def test_a_second_url_in_one_destination_is_never_reached(receiver: Receiver) -> None:
    channel = channel_to(receiver, f", xml://127.0.0.1:{receiver.server_port}/other")

    channel.deliver(letter(OPS), delivery())

    assert len(receiver.received) == 1


def test_destinations_without_the_extra_say_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.partition(".")[0] == "apprise"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "apprise", None)

    with pytest.raises(SettingsError, match=r"pip install 'herald\[apprise\]'"):
        make_channel(settings(apprise_urls={OPS: "json://example.com"}, apprise_schemes="json"))
