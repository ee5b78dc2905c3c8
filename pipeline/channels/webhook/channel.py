"""The channel `webhook`: a signed POST to the address, as Standard Webhooks describes it.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md

`answers` says what an answer means. Without a connection nothing was sent: tried again.
Once anything went out and no answer came, nobody knows.

`webhook-id` is the message's id and the body is the same on every attempt, so a receiver can tell a repetition;
`herald-attempt` is the attempt's number as the message's history has it.
"""

import asyncio
import io
import re
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

import aiohttp
import msgspec
from standardwebhooks import Webhook
from yarl import URL

from herald.outbox.destination.urls import Url, parse_url
from herald.outbox.message.notification import AddressError
from herald.outbox.settings import Settings, SettingsError
from herald.outbox.watched.traces import TRACES
from herald.pipeline.channel import Delivery, Letter, NotSetUpError, PermanentError, TemporaryError, UnknownOutcomeError
from herald.pipeline.channels.webhook.answers import drain, is_taken, is_tried_again, read, refusal
from herald.pipeline.channels.webhook.network import BROKEN, Call, GuardedConnector, current
from herald.pipeline.channels.webhook.public_addresses import ForbiddenAddressError, Network, parse_networks
from herald.pipeline.channels.webhook.secrets import parse_secrets
from herald.pipeline.consume.identity import milliseconds_of
from herald.pipeline.deliver.deadline import Deadline

READ_AHEAD = 16_384  # bytes of an answer; twice as many wait to be read, and then it is not listened to
LARGE = 65_536  # bytes of a body from which on it is handed to the system in parts
_TRACEPARENT = re.compile(r"[0-9a-f-]{55,512}")  # another producer's record may carry anything: a header must not
_encode = msgspec.json.encode


class WebhookChannel:
    """Secrets by host or `*`, the newest first."""

    name = "webhook"

    def __init__(self, secrets: dict[str, list[Webhook]], networks: Sequence[Network], trusted: ssl.SSLContext) -> None:
        self._secrets = secrets
        self._agent = f"Herald/{version('herald')}"
        self._networks = networks
        self._trusted = trusted
        self._session: aiohttp.ClientSession | None = None

    def host(self, address: str) -> str:
        """Host and port of the URL. Raises PermanentError for what is no URL, NotSetUpError where it has no secret."""
        url = _parsed(address)
        self._signers(url)
        return url.authority

    async def deliver(self, letter: Letter, delivery: Delivery) -> None:
        url = _parsed(letter.address)
        body = _body(letter, delivery)
        headers = self._headers(url, body, delivery)
        call = Call(url, Deadline(delivery.timeout))
        current.set(call)
        try:
            async with asyncio.timeout(delivery.timeout):
                await self._post(call, body, headers)
        except ForbiddenAddressError as error:
            raise _forbidden(url, error) from None
        except TimeoutError as error:
            _judge(call, f"no answer within {delivery.timeout:g} s", error)
        except BROKEN as error:
            _judge(call, "the connection broke before an answer", error)
        finally:
            call.end()

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _post(self, call: Call, body: bytes, headers: list[tuple[str, str]]) -> None:
        data = io.BytesIO(body) if len(body) > LARGE else body
        sending = self._opened().post(_place(call.url), data=data, headers=headers, allow_redirects=False)
        async with sending as answer:
            call.has_head = True
            if (spans := TRACES.spans) is not None:
                spans.called("POST", answer.status)
            if is_taken(answer.status):
                await drain(answer.content)
                return
            text = b"" if is_tried_again(answer.status) else await _begin_of(answer.content)
            raise refusal(answer.status, answer.headers, text)

    def _opened(self) -> aiohttp.ClientSession:
        """One for all calls, made on their loop."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=GuardedConnector(self._networks, self._trusted),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                read_bufsize=READ_AHEAD,
                skip_auto_headers=("accept",),
                timeout=aiohttp.ClientTimeout(),  # the delivery has one
            )
        return self._session

    def _headers(self, url: Url, body: bytes, delivery: Delivery) -> list[tuple[str, str]]:
        now, text = datetime.now(UTC), body.decode()
        signatures = [signer.sign(str(delivery.id), now, text) for signer in self._signers(url)]
        headers = [
            ("host", url.authority),
            ("user-agent", self._agent),
            ("content-type", "application/json"),
            ("content-length", str(len(body))),
            ("accept-encoding", "identity"),
            ("webhook-id", str(delivery.id)),
            ("webhook-timestamp", str(int(now.timestamp()))),
            ("webhook-signature", " ".join(signatures)),
            ("herald-attempt", str(delivery.attempt)),
        ]
        if delivery.traceparent is not None and _TRACEPARENT.fullmatch(delivery.traceparent):
            headers.append(("traceparent", delivery.traceparent))
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


@lru_cache(maxsize=1024)
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


@lru_cache(maxsize=1024)
def _place(url: Url) -> URL:
    """As it was taken apart: aiohttp's parser reads nothing anew."""
    path, _, query = url.target.partition("?")
    host = f"[{url.host}]" if ":" in url.host else url.host
    return URL.build(scheme=url.scheme, authority=f"{host}:{url.port}", path=path, query_string=query, encoded=True)


async def _begin_of(body: aiohttp.StreamReader) -> bytes:
    """Nothing of one that breaks off."""
    try:
        return await read(body)
    except BROKEN:
        return b""


def _judge(call: Call, what: str, error: Exception) -> None:
    """What broke off, or did not come in time: by its status if that came; else nobody knows, once anything went out.

    Raises TemporaryError, UnknownOutcomeError, or what the status means.
    """
    if call.status is not None:
        if not is_taken(call.status):
            raise refusal(call.status, {}) from error
        return
    if call.late is None:
        raise UnknownOutcomeError(f"{what}: whether it was taken is not known") from error
    raise TemporaryError(call.late, code="connection") from error
