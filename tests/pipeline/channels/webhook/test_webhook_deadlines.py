"""Every step before an answer keeps the deadline of the whole delivery: look-up, connection, TLS, sending."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from time import monotonic

import pytest

from herald.pipeline.channel import TemporaryError, UnknownOutcomeError
from tests.pipeline.channels.waiting import Waiting
from tests.pipeline.channels.webhook.test_public_addresses import answers
from tests.pipeline.channels.webhook.test_webhook import delivery, letter, make_channel
from tests.servers.http_server import HttpServer

TIMEOUT = 0.5  # seconds
SOON = 3.0  # seconds: generous, for a busy machine


@pytest.fixture
def channel() -> Iterator[Waiting]:
    with closing(make_channel()) as channel:
        yield channel


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a listener that accepts and then reads nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_resolver_that_does_not_answer_ends_at_the_deadline(
    channel: Waiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **_more: over.wait(30))
    began = monotonic()

    with pytest.raises(TemporaryError, match="the resolver did not answer in time"):
        channel.deliver(letter("http://hooks.example.com/"), delivery(timeout=TIMEOUT))

    assert monotonic() - began < SOON
    over.set()


def test_a_tls_handshake_that_does_not_end_is_no_delivery(channel: Waiting, silent: int) -> None:
    began = monotonic()

    with pytest.raises(TemporaryError, match="the TLS handshake took too long"):
        channel.deliver(letter(f"https://127.0.0.1:{silent}/"), delivery(timeout=TIMEOUT))

    assert monotonic() - began < SOON


def test_a_destination_that_does_not_read_leaves_the_outcome_unknown(channel: Waiting, silent: int) -> None:
    began = monotonic()
    large = letter(f"http://127.0.0.1:{silent}/", data=b'"' + b"x" * 20_000_000 + b'"')

    with pytest.raises(UnknownOutcomeError, match=r"no answer within 0\.5 s"):
        channel.deliver(large, delivery(timeout=TIMEOUT))

    assert monotonic() - began < SOON


def test_an_address_that_does_not_answer_leaves_time_for_the_next(
    channel: Waiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    with HttpServer() as server, ExitStack() as queue:
        full = queue.enter_context(socket.create_server(("127.9.9.9", server.port), backlog=0))
        for _ in range(4):  # nobody accepts them: whoever comes later gets no answer
            waiting = queue.enter_context(socket.socket())
            waiting.settimeout(0)
            waiting.connect_ex(full.getsockname())
        monkeypatch.setattr(socket, "getaddrinfo", answers(["127.9.9.9", "127.0.0.1"]))

        channel.deliver(letter(f"http://hooks.example.com:{server.port}/ok"), delivery(timeout=1.0))

        assert len(server.received) == 1
