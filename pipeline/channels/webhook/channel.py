"""The channel `webhook`: a signed POST to the address, as Standard Webhooks describes it.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md

`answers` says what an answer means. Without a connection nothing was sent: tried again.
Once anything went out and no answer came, nobody knows.

`webhook-id` is the message's id and the body is the same on every attempt, so a receiver can tell a repetition;
`herald-attempt` is the attempt's number as the message's history has it.
"""

import re
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import httpcore2
import msgspec
from standardwebhooks import Webhook

from herald.outbox.destination.urls import Url, parse_url
from herald.outbox.message.notification import AddressError
from herald.outbox.settings import Settings, SettingsError
from herald.pipeline.channel import Delivery, Letter, NotSetUpError, PermanentError, TemporaryError, UnknownOutcomeError
from herald.pipeline.channels.webhook.answers import drain, is_taken, refusal
from herald.pipeline.channels.webhook.network import BROKEN, Call, GuardedBackend, current
from herald.pipeline.channels.webhook.public_addresses import ForbiddenAddressError, Network, parse_networks
from herald.pipeline.channels.webhook.secrets import parse_secrets
from herald.pipeline.consume.identity import milliseconds_of
from herald.pipeline.deliver.deadline import Deadline

CONNECTIONS = 1000  # at once, and 100 idle ones; limits by destination come before
IDLE = 10.0  # seconds
_TRACEPARENT = re.compile(r"[0-9a-f-]{55,512}")  # another producer's record may carry anything: a header must not
_encode = msgspec.json.encode


class WebhookChannel:
    """Secrets by host or `*`, the newest first."""

    name = "webhook"

    def __init__(self, secrets: dict[str, list[Webhook]], networks: Sequence[Network], trusted: ssl.SSLContext) -> None:
        self._secrets = secrets
        self._agent = f"Herald/{version('herald')}".encode()
        self._pool = httpcore2.ConnectionPool(
            ssl_context=trusted,
            max_connections=CONNECTIONS,
            max_keepalive_connections=CONNECTIONS // 10,
            keepalive_expiry=IDLE,
            network_backend=GuardedBackend(networks),
        )

    def host(self, address: str) -> str:
        """Host and port of the URL. Raises PermanentError for what is no URL, NotSetUpError where it has no secret."""
        url = _parsed(address)
        self._signers(url)
        return url.authority

    def deliver(self, letter: Letter, delivery: Delivery) -> None:
        url = _parsed(letter.address)
        body = _body(letter, delivery)
        call = Call(Deadline(delivery.timeout))
        token = current.set(call)
        try:
            self._post(url, body, self._headers(url, body, delivery), call)
        except ForbiddenAddressError as error:
            raise _forbidden(url, error) from None
        except httpcore2.TimeoutException as error:
            raise _unanswered(call, f"no answer within {delivery.timeout:g} s", error) from error
        except BROKEN as error:
            raise _unanswered(call, "the connection broke before an answer", error) from error
        finally:
            current.reset(token)

    def close(self) -> None:
        self._pool.close()

    def _post(self, url: Url, body: bytes, headers: list[tuple[bytes, bytes]], call: Call) -> None:
        place = httpcore2.URL(
            scheme=url.scheme.encode(), host=url.host.encode(), port=url.port, target=url.target.encode()
        )
        with self._pool.stream("POST", place, headers=headers, content=body) as answer:
            if not is_taken(answer):
                raise refusal(answer)
            drain(answer, call)

    def _headers(self, url: Url, body: bytes, delivery: Delivery) -> list[tuple[bytes, bytes]]:
        now, text = datetime.now(UTC), body.decode()
        signatures = [signer.sign(str(delivery.id), now, text) for signer in self._signers(url)]
        headers = [
            (b"host", url.authority.encode()),
            (b"user-agent", self._agent),
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"accept-encoding", b"identity"),
            (b"webhook-id", str(delivery.id).encode()),
            (b"webhook-timestamp", str(int(now.timestamp())).encode()),
            (b"webhook-signature", " ".join(signatures).encode()),
            (b"herald-attempt", str(delivery.attempt).encode()),
        ]
        if delivery.traceparent is not None and _TRACEPARENT.fullmatch(delivery.traceparent):
            headers.append((b"traceparent", delivery.traceparent.encode()))
        return headers

    def _signers(self, url: Url) -> list[Webhook]:
        for name in (url.authority, url.host, "*"):
            if name in self._secrets:
                return self._secrets[name]
        raise NotSetUpError(f"HERALD_WEBHOOK_SECRETS has no secret for {url.authority}", channel=self.name)


def make_channel(settings: Settings) -> WebhookChannel:
    """The channel as the settings want it. Raises SettingsError for a secret, network or file that is none."""
    networks = parse_networks(settings.webhook_networks)
    return WebhookChannel(parse_secrets(settings.webhook_secrets), networks, _trusted(settings.webhook_ca_location))


def _trusted(authorities: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=authorities)
    except OSError as error:
        reason = error.strerror if isinstance(error, FileNotFoundError) else "has no certificate"
        raise SettingsError(f"HERALD_WEBHOOK_CA_LOCATION: {authorities}: {reason}") from None


def _parsed(address: str) -> Url:
    try:
        return parse_url(address)
    except AddressError as error:
        raise PermanentError(f"the address {error}") from None


def _body(letter: Letter, delivery: Delivery) -> bytes:
    """Type, time of the message (its UUIDv7's) and its data as they were accepted; no byte differs on a repeat."""
    when = datetime.fromtimestamp(milliseconds_of(delivery.id) / 1000, UTC).isoformat(timespec="milliseconds")
    head = b'{"type":' + _encode(letter.event) + b',"timestamp":' + _encode(when)
    return head + b',"data":' + letter.data + b"}"


def _forbidden(url: Url, error: ForbiddenAddressError) -> Exception:
    """Whoever wrote an address meant it; what a name leads to changes, and a resolver may be wrong for a minute."""
    if url.is_fixed:
        return PermanentError(str(error))
    return TemporaryError(f"{url.host} leads elsewhere: {error}")


def _unanswered(call: Call, what: str, error: Exception) -> Exception:
    if call.went_out:
        return UnknownOutcomeError(f"{what}: whether it was taken is not known")
    return TemporaryError(str(error) or what, code="connection")
