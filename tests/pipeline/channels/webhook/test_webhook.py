"""Webhooks against a real HTTP server, well-behaved and not."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import quote

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from herald.pipeline.channel import (
    Delivery,
    Letter,
    NotSetUpError,
    PermanentError,
    TemporaryError,
    UnknownOutcomeError,
)
from herald.pipeline.channels.webhook import channel as webhook
from herald.pipeline.channels.webhook.answers import MOST_OF_ANSWER
from tests.pipeline.channels.waiting import Waiting
from tests.pipeline.records import new_id, settings_for
from tests.servers.certificates import Certificate
from tests.servers.http_server import HttpServer, Received

NEW, OLD = "whsec_bmV3IHNlY3JldCBvZiB0aGUgdGVzdHM=", "whsec_b2xkIHNlY3JldCBvZiB0aGUgdGVzdHM="
OTHER = "whsec_b3RoZXI="
LOCAL = ("127.0.0.0/8",)


@pytest.fixture
def server() -> Iterator[HttpServer]:
    with HttpServer() as server:
        yield server


def make_channel(**settings: Any) -> Waiting:
    found = {"webhook_secrets": {"*": [NEW]}, "webhook_networks": LOCAL, **settings}
    return Waiting(webhook.make_channel(settings_for("postgresql://nowhere/herald", **found)))


@pytest.fixture
def channel() -> Iterator[Waiting]:
    channel = make_channel()
    yield channel
    channel.close()


DATA = b'{"user_id": "7", "event": "order.shipped", "content": "On its way."}'


def letter(address: str, *, data: bytes = DATA) -> Letter:
    return Letter(address=address, user_id="7", event="order.shipped", subject=None, content="On its way.", data=data)


def delivery(**fields: Any) -> Delivery:
    known = {"id": new_id(), "topic": "notifications", "key": "7", "attempt": 1, "timeout": 5.0}
    return Delivery(**{**known, **fields})


def verified(received: Received, secret: str) -> Any:
    return Webhook(secret).verify(received.body, received.headers)


def test_a_webhook_is_signed_and_carries_the_message(server: HttpServer, channel: Waiting) -> None:
    made = delivery(traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")

    channel.deliver(letter(server.url()), made)

    (received,) = server.received
    body = verified(received, NEW)
    assert body["type"] == "order.shipped"
    assert body["data"] == {"user_id": "7", "event": "order.shipped", "content": "On its way."}
    assert abs(datetime.fromisoformat(body["timestamp"]) - datetime.now(UTC)) < timedelta(minutes=1)
    assert received.headers["webhook-id"] == str(made.id)
    assert received.headers["herald-attempt"] == "1"
    assert received.headers["accept-encoding"] == "identity"
    assert received.headers["traceparent"] == made.traceparent
    assert received.headers["user-agent"].startswith("Herald/")


def test_a_changed_byte_does_not_verify(server: HttpServer, channel: Waiting) -> None:
    channel.deliver(letter(server.url()), delivery())

    (received,) = server.received
    with pytest.raises(WebhookVerificationError):
        Webhook(NEW).verify(received.body.replace(b"way", b"WAY"), received.headers)


def test_while_secrets_are_rotated_both_verify(server: HttpServer) -> None:
    channel = make_channel(webhook_secrets={"127.0.0.1": [NEW, OLD], "*": [OTHER]})

    channel.deliver(letter(server.url()), delivery())

    (received,) = server.received
    assert verified(received, NEW) == verified(received, OLD)
    assert len(received.headers["webhook-signature"].split()) == 2


def test_a_repetition_has_the_same_id_and_the_same_body(server: HttpServer, channel: Waiting) -> None:
    made = delivery()
    for attempt in (1, 2):
        channel.deliver(letter(server.url()), delivery(id=made.id, attempt=attempt))

    first, second = server.received
    assert (first.id, first.body) == (second.id, second.body)


def test_a_malformed_traceparent_is_left_out(server: HttpServer, channel: Waiting) -> None:
    channel.deliver(letter(server.url()), delivery(traceparent="00-a\r\nx-smuggled: 1"))

    (received,) = server.received
    assert {"traceparent", "x-smuggled"}.isdisjoint(received.headers)


def test_many_threads_share_a_channel(server: HttpServer, channel: Waiting) -> None:
    made = [delivery() for _ in range(200)]

    with ThreadPoolExecutor(20) as threads:
        list(threads.map(lambda one: channel.deliver(letter(server.url()), one), made))

    assert server.ids == {str(one.id): 1 for one in made}
    assert server.connections <= 20


def test_one_connection_carries_many_webhooks(server: HttpServer, channel: Waiting) -> None:
    for _ in range(25):
        channel.deliver(letter(server.url()), delivery())

    assert (len(server.received), server.connections) == (25, 1)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_every_2xx_is_taken(server: HttpServer, channel: Waiting, status: int) -> None:
    channel.deliver(letter(server.url(f"/status/{status}")), delivery())

    assert len(server.received) == 1


@pytest.mark.parametrize("status", [500, 502, 503, 599, 408, 425, 429])
def test_a_host_at_fault_is_tried_again(server: HttpServer, channel: Waiting, status: int) -> None:
    with pytest.raises(TemporaryError, match=f"^HTTP {status}") as caught:
        channel.deliver(letter(server.url(f"/status/{status}")), delivery())

    assert caught.value.is_destination_fault


@pytest.mark.parametrize("status", [401, 403, 404, 405, 409, 423])
def test_what_an_endpoint_refuses_for_now_is_tried_again_and_blames_no_host(
    server: HttpServer, channel: Waiting, status: int
) -> None:
    with pytest.raises(TemporaryError, match=f"^HTTP {status}") as caught:
        channel.deliver(letter(server.url(f"/status/{status}")), delivery())

    assert not caught.value.is_destination_fault


@pytest.mark.parametrize("status", [400, 410, 413, 422, 451])
def test_a_message_refused_for_good_is_not_tried_again(server: HttpServer, channel: Waiting, status: int) -> None:
    with pytest.raises(PermanentError, match=f"^HTTP {status} .*: done$"):
        channel.deliver(letter(server.url(f"/status/{status}")), delivery())


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("315360000", 315_360_000.0),
        ("9" * 400, float("inf")),
        ("Mon, 01 Jan 2024 00:00:00 GMT", 0.0),
        ("Thu, 01 Jan 1970 00:00:00 +99999999999999999999", None),
        ("Fri, 31 Dec 99999 23:59:59 GMT", None),
        ("-5", None),
        ("1e5", None),
        ("soon", None),
    ],
)
def test_a_destination_says_when_to_come_again(
    server: HttpServer, channel: Waiting, value: str, seconds: float | None
) -> None:
    assert retry_after(server, channel, value) == seconds


def test_a_destination_may_name_a_date(server: HttpServer, channel: Waiting) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)

    assert 3000 < (retry_after(server, channel, date) or 0.0) <= 3600


def retry_after(server: HttpServer, channel: Waiting, value: str) -> float | None:
    with pytest.raises(TemporaryError) as caught:
        channel.deliver(letter(server.url(f"/later/429/{quote(value)}")), delivery())
    return caught.value.retry_after


def test_a_redirect_is_not_followed(server: HttpServer, channel: Waiting) -> None:
    with HttpServer() as target:
        with pytest.raises(PermanentError, match="HTTP 302 Found: redirects are not followed"):
            channel.deliver(letter(server.url(f"/redirect/{target.url()}")), delivery())

        assert target.connections == 0


@pytest.mark.parametrize("path", ["/hang", "/drip-head"])
def test_an_answer_that_does_not_come_in_time_leaves_the_outcome_unknown(
    server: HttpServer, channel: Waiting, path: str
) -> None:
    began = monotonic()

    with pytest.raises(UnknownOutcomeError, match=r"no answer within 0\.5 s: whether it was taken is not known"):
        channel.deliver(letter(server.url(path)), delivery(timeout=0.5))

    assert monotonic() - began < 3


def test_a_connection_that_breaks_before_an_answer_leaves_the_outcome_unknown(
    server: HttpServer, channel: Waiting
) -> None:
    with pytest.raises(UnknownOutcomeError, match="the connection broke before an answer"):
        channel.deliver(letter(server.url("/reset")), delivery())


@pytest.mark.parametrize("path", ["/drip-body", "/endless", "/bomb"])
def test_what_a_good_answer_does_with_its_body_is_not_waited_for(
    server: HttpServer, channel: Waiting, path: str, read: list[int]
) -> None:
    began = monotonic()

    channel.deliver(letter(server.url(path)), delivery())

    assert monotonic() - began < 4
    assert 0 < sum(read) <= 2 * MOST_OF_ANSWER  # the last read may begin just below the limit


@pytest.mark.parametrize("path", ["/drip-body/400", "/endless/400", "/bomb/400"])
def test_of_a_refusal_only_so_much_is_read_and_only_so_long(
    server: HttpServer, channel: Waiting, path: str, read: list[int]
) -> None:
    began = monotonic()

    with pytest.raises(PermanentError, match=r"^HTTP 400 Bad Request"):
        channel.deliver(letter(server.url(path)), delivery(timeout=0.5))

    assert monotonic() - began < 3
    assert 0 < sum(read) <= 2 * MOST_OF_ANSWER


def test_what_an_answer_compressed_is_neither_inflated_nor_quoted(server: HttpServer, channel: Waiting) -> None:
    with pytest.raises(PermanentError, match=r"^HTTP 400 Bad Request$"):
        channel.deliver(letter(server.url("/bomb/400")), delivery())


def test_nobody_listening_is_tried_again(channel: Waiting) -> None:
    with HttpServer() as server:
        url = server.url()

    with pytest.raises(TemporaryError, match="no connection: Connection refused"):
        channel.deliver(letter(url), delivery())


def test_a_name_that_does_not_resolve_is_tried_again(channel: Waiting) -> None:
    with pytest.raises(TemporaryError, match="the host name cannot be resolved"):
        channel.deliver(letter("http://nowhere.invalid/"), delivery())


def test_a_certificate_that_nobody_vouches_for_is_no_delivery(channel: Waiting, tmp_path: Path) -> None:
    with HttpServer(certificate=Certificate(tmp_path)) as server:
        with pytest.raises(TemporaryError, match="TLS failed: self-signed certificate"):
            channel.deliver(letter(server.url()), delivery())

        assert server.received == []


def test_a_certificate_of_a_trusted_authority_is_taken(tmp_path: Path) -> None:
    certificate = Certificate(tmp_path)
    channel = make_channel(webhook_ca_location=certificate.path)
    with HttpServer(certificate=certificate) as server:
        channel.deliver(letter(server.url()), delivery())

        assert len(server.received) == 1


def test_a_certificate_must_be_of_the_host_in_the_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not of the address that was connected to."""
    certificate = Certificate(tmp_path)
    channel = make_channel(webhook_ca_location=certificate.path)
    with HttpServer(certificate=certificate) as server:
        found = socket.getaddrinfo("127.0.0.1", server.port, type=socket.SOCK_STREAM)
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **_more: found)

        with pytest.raises(TemporaryError, match=r"certificate is not valid for 'hooks\.example\.com'"):
            channel.deliver(letter(f"https://hooks.example.com:{server.port}/ok"), delivery())

        assert server.received == []


def test_an_address_that_is_not_allowed_is_refused_before_any_connection(server: HttpServer) -> None:
    channel = make_channel(webhook_networks=())

    with pytest.raises(PermanentError, match=r"127\.0\.0\.1 is not public; HERALD_WEBHOOK_NETWORKS does not allow it"):
        channel.deliver(letter(server.url()), delivery())

    assert server.connections == 0


def test_the_environments_proxy_is_not_used(
    server: HttpServer, channel: Waiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    channel.deliver(letter(server.url()), delivery())

    assert len(server.received) == 1


def test_the_destination_is_host_and_port(channel: Waiting) -> None:
    assert channel.host("https://Hooks.Example.com/a") == "hooks.example.com"
    assert channel.host("https://hooks.example.com:8443/b") == "hooks.example.com:8443"


def test_nothing_goes_out_unsigned(server: HttpServer) -> None:
    channel = make_channel(webhook_secrets={"other.example.com": [NEW]})

    with pytest.raises(NotSetUpError, match="HERALD_WEBHOOK_SECRETS has no secret for"):
        channel.host(server.url())
    with pytest.raises(NotSetUpError):
        channel.deliver(letter(server.url()), delivery())
    assert server.connections == 0
