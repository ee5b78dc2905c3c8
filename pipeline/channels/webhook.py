"""The channel `webhook`: a signed POST to the address, as Standard Webhooks describes it.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md

Taken: 2xx. The endpoint is at fault, so it is tried again and its breaker counts: 5xx, 408, 425 and 429,
also 401, 403, 404 and 405 (an endpoint that is set up wrongly refuses every message). Only this message is
at fault for now: 409 and 423. For good: every other 4xx, and 3xx, which is never followed. Without a
connection nothing was sent: tried again. Once anything went out and no answer came, nobody knows.

`webhook-id` is the message's id and the body is the same on every attempt, so a receiver can tell a repetition.
"""

import ssl
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from importlib.metadata import version

import httpcore2
import msgspec
from standardwebhooks import Webhook

from outbox.notification import AddressError
from outbox.settings import Settings, SettingsError
from outbox.urls import Url, parse_url
from pipeline.deadline import Deadline
from pipeline.delivery import Delivery, Letter, PermanentError, TemporaryError, UnknownOutcomeError
from pipeline.guarded_network import Call, GuardedBackend, current
from pipeline.public_addresses import AddressGuard, ForbiddenAddressError, parse_networks

MOST_OF_ANSWER = 65_536  # bytes of an answer that are read
DRAIN = 1.0  # seconds to read the rest of a good answer, so that its connection can be used again
QUOTED = 100  # characters of an answer in the reason
CONNECTIONS = 1000  # at once, and 100 idle ones; limits by destination come before
IDLE = 10.0  # seconds
ENDPOINT = frozenset({401, 403, 404, 405, 408, 425, 429})
FOR_NOW = frozenset({409, 423})
_encode = msgspec.json.encode


class WebhookChannel:
    """Secrets by host or `*`, the newest first."""

    name = "webhook"

    def __init__(self, secrets: dict[str, list[Webhook]], guard: AddressGuard, trusted: ssl.SSLContext) -> None:
        self._secrets = secrets
        self._agent = f"Herald/{version('herald')}".encode()
        self._pool = httpcore2.ConnectionPool(
            ssl_context=trusted,
            max_connections=CONNECTIONS,
            max_keepalive_connections=CONNECTIONS // 10,
            keepalive_expiry=IDLE,
            network_backend=GuardedBackend(guard),
        )

    def host(self, address: str) -> str:
        """Host and port of the URL. Raises PermanentError for what is no URL, or has no secret."""
        url = _parsed(address)
        self._signers(url)
        return url.authority

    def deliver(self, letter: Letter, delivery: Delivery) -> None:
        """Post it once."""
        url = _parsed(letter.address)
        body = _body(letter, delivery)
        call = Call(Deadline(delivery.timeout))
        token = current.set(call)
        try:
            self._post(url, body, self._headers(url, body, delivery), call)
        except ForbiddenAddressError as error:
            raise PermanentError(str(error)) from None
        except httpcore2.TimeoutException as error:
            raise _unanswered(call, f"no answer within {delivery.timeout:g} s", error) from error
        except (httpcore2.NetworkError, httpcore2.ProtocolError, OSError) as error:
            raise _unanswered(call, "the connection broke before an answer", error) from error
        finally:
            current.reset(token)

    def close(self) -> None:
        """Close what is idle and what is not."""
        self._pool.close()

    def _post(self, url: Url, body: bytes, headers: list[tuple[bytes, bytes]], call: Call) -> None:
        place = httpcore2.URL(
            scheme=url.scheme.encode(), host=url.host.encode(), port=url.port, target=url.target.encode()
        )
        with self._pool.stream("POST", place, headers=headers, content=body) as answer:
            if HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
                _drain(answer, call)
                return
            raise _refusal(answer)

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
        ]
        if delivery.traceparent is not None:
            headers.append((b"traceparent", delivery.traceparent.encode()))
        return headers

    def _signers(self, url: Url) -> list[Webhook]:
        for name in (url.authority, url.host, "*"):
            if name in self._secrets:
                return self._secrets[name]
        message = f"HERALD_WEBHOOK_SECRETS has no secret for {url.authority}"
        raise PermanentError(message)


def make_channel(settings: Settings) -> WebhookChannel:
    """The channel as the settings want it. Raises SettingsError for a secret or a network that is none."""
    secrets = {
        host: [_signer(host, secret.get_secret_value()) for secret in found]
        for host, found in settings.webhook_secrets.items()
    }
    guard = AddressGuard(parse_networks(settings.webhook_networks))
    return WebhookChannel(secrets, guard, ssl.create_default_context(cafile=settings.webhook_ca_location))


def _signer(host: str, secret: str) -> Webhook:
    try:
        return Webhook(secret)
    except Exception:  # noqa: BLE001 - whatever the library says would quote the secret
        message = f"HERALD_WEBHOOK_SECRETS: a secret of {host} is not whsec_ and base64"
        raise SettingsError(message) from None


def _parsed(address: str) -> Url:
    try:
        return parse_url(address)
    except AddressError as error:
        message = f"the address {error}"
        raise PermanentError(message) from None


def _body(letter: Letter, delivery: Delivery) -> bytes:
    """Type, time of the message (its UUIDv7's) and its data as they were accepted; no byte differs on a repeat."""
    when = datetime.fromtimestamp((delivery.id.int >> 80) / 1000, UTC).isoformat(timespec="milliseconds")
    head = b'{"type":' + _encode(letter.event) + b',"timestamp":' + _encode(when)
    return head + b',"data":' + letter.data + b"}"


def _unanswered(call: Call, what: str, error: Exception) -> Exception:
    if call.went_out:
        return UnknownOutcomeError(f"{what}: whether it was taken is not known")
    return TemporaryError(str(error) or what)


def _drain(answer: httpcore2.Response, call: Call) -> None:
    """It was taken, whatever its answer does now: read a little, so that the connection can be used again."""
    call.deadline.shorten(DRAIN)
    try:
        _read(answer)
    except (httpcore2.TimeoutException, httpcore2.NetworkError, httpcore2.ProtocolError, OSError):
        return


def _read(answer: httpcore2.Response) -> bytes:
    """The answer's first bytes as they came: nothing is inflated."""
    read = b""
    for chunk in answer.iter_stream():
        read += chunk
        if len(read) >= MOST_OF_ANSWER:
            break
    return read[:MOST_OF_ANSWER]


def _refusal(answer: httpcore2.Response) -> Exception:
    status = answer.status
    headers = {name.lower(): value for name, value in answer.headers}
    reason = f"HTTP {status}{_phrase(status)}"
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return PermanentError(f"{reason}: redirects are not followed")
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in ENDPOINT | FOR_NOW:
        after = _retry_after(headers.get(b"retry-after"))
        return TemporaryError(reason, retry_after=after, is_destination_fault=status not in FOR_NOW)
    return PermanentError(f"{reason}{_quoted(answer, headers)}")


def _phrase(status: int) -> str:
    try:
        return f" {HTTPStatus(status).phrase}"
    except ValueError:
        return ""


def _quoted(answer: httpcore2.Response, headers: dict[bytes, bytes]) -> str:
    """What a person can read of a refusal for good; nothing of an answer that is encoded, or breaks off."""
    if headers.get(b"content-encoding", b"identity") != b"identity":
        return ""
    try:
        text = " ".join(_read(answer).decode(errors="replace").split())
    except (httpcore2.TimeoutException, httpcore2.NetworkError, httpcore2.ProtocolError, OSError):
        return ""
    return f": {text[:QUOTED]}" if text.isprintable() and text else ""


def _retry_after(value: bytes | None) -> float | None:
    """Seconds, from seconds or a date (RFC 9110 section 10.2.3); None for what is neither."""
    if value is None:
        return None
    text = value.decode("latin-1").strip()
    if text.isdecimal() and text.isascii():
        return float(text)
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    return max(0.0, (when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
