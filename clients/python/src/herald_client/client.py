"""The clients: one waits, the other is awaited; both send what `requests` says."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from functools import wraps
from time import monotonic, sleep
from types import TracebackType
from typing import Concatenate, ParamSpec, Self, TypeVar
from urllib.parse import urlsplit

import httpx2

from herald_client import requests
from herald_client.errors import not_heralds
from herald_client.requests import Request
from herald_client.retries import Answer, Attempts, Patience

P = ParamSpec("P")
T = TypeVar("T")
_LOST = (httpx2.TimeoutException, httpx2.NetworkError, httpx2.RemoteProtocolError, httpx2.ProxyError)


def _sync(make: Callable[P, Request[T]]) -> "Callable[Concatenate[Client, P], T]":
    @wraps(make)
    def call(client: "Client", /, *arguments: P.args, **named: P.kwargs) -> T:
        return client.run(make(*arguments, **named))

    return call


def _async(make: Callable[P, Request[T]]) -> "Callable[Concatenate[AsyncClient, P], Awaitable[T]]":
    @wraps(make)
    async def call(client: "AsyncClient", /, *arguments: P.args, **named: P.kwargs) -> T:
        return await client.run(make(*arguments, **named))

    return call


class Client:
    """A Herald by its URL; for any number of threads. `key` is one of its API.

    `http` brings what stands before it: headers, proxies, CAs.

    The deadline is looked at between attempts and with each piece of an answer's body: a wait for bytes that is under
    way, or a head that comes byte by byte, may outlast it.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        patience: Patience | None = None,
        http: httpx2.Client | None = None,
    ) -> None:
        self._url, self._shown = _checked(url), _shown(key)
        self._patience = patience or Patience()
        self._http = http or httpx2.Client()

    notify = _sync(requests.notify)
    notify_users = _sync(requests.notify_users)
    notify_many = _sync(requests.notify_many)
    send = _sync(requests.send)
    cancel = _sync(requests.cancel)
    cancel_group = _sync(requests.cancel_group)
    group = _sync(requests.group)
    again = _sync(requests.again)
    notification = _sync(requests.notification)
    message = _sync(requests.message)
    history = _sync(requests.history)
    notifications = _sync(requests.notifications)

    def run(self, request: Request[T]) -> T:
        """Send it until it is answered for good. Raises HeraldError."""
        attempts = Attempts(self._patience, request.idempotency_key)
        for pause in attempts:
            sleep(pause)
            attempts.judge(self._attempt(request, attempts.timeout()))
        return _read(request, attempts.answer)

    def _attempt(self, request: Request[T], seconds: float) -> Answer | str:
        end = monotonic() + seconds
        try:
            with closing(
                self._http.send(_built(self._http, self._url, self._shown, request, seconds), stream=True)
            ) as response:
                return _answer(response, b"".join(_until(end, response.iter_bytes())))
        except (TimeoutError, *_LOST) as error:
            return f"{type(error).__name__} {error}"

    def close(self) -> None:
        """Close its connections, also those of a given `http`."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncClient:
    """The same for asyncio; the deadline bounds the whole call."""

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        patience: Patience | None = None,
        http: httpx2.AsyncClient | None = None,
    ) -> None:
        self._url, self._shown = _checked(url), _shown(key)
        self._patience = patience or Patience()
        self._http = http or httpx2.AsyncClient()

    notify = _async(requests.notify)
    notify_users = _async(requests.notify_users)
    notify_many = _async(requests.notify_many)
    send = _async(requests.send)
    cancel = _async(requests.cancel)
    cancel_group = _async(requests.cancel_group)
    group = _async(requests.group)
    again = _async(requests.again)
    notification = _async(requests.notification)
    message = _async(requests.message)
    history = _async(requests.history)
    notifications = _async(requests.notifications)

    async def run(self, request: Request[T]) -> T:
        """Send it until it is answered for good. Raises HeraldError."""
        attempts = Attempts(self._patience, request.idempotency_key)
        for pause in attempts:
            await asyncio.sleep(pause)
            attempts.judge(await self._attempt(request, attempts.timeout()))
        return _read(request, attempts.answer)

    async def _attempt(self, request: Request[T], seconds: float) -> Answer | str:
        try:
            async with asyncio.timeout(seconds):
                response = await self._http.send(_built(self._http, self._url, self._shown, request, seconds))
                return _answer(response, response.content)
        except (TimeoutError, *_LOST) as error:
            return f"{type(error).__name__} {error}"

    async def aclose(self) -> None:
        """Close its connections, also those of a given `http`."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


def _checked(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise ValueError(f"url: must be http:// or https:// and a host, not {url!r}")
    return url.rstrip("/")


def _shown(key: str | None) -> dict[str, str]:
    return {} if key is None else {"authorization": f"Bearer {key}"}


def _built(
    http: httpx2.Client | httpx2.AsyncClient, url: str, shown: dict[str, str], request: Request[T], seconds: float
) -> httpx2.Request:
    return http.build_request(
        request.method,
        url + request.path,
        content=request.body,
        params=request.query,
        headers={**request.headers, **shown},
        timeout=seconds,
    )


def _until(end: float, parts: Iterator[bytes]) -> Iterator[bytes]:
    for part in parts:
        if monotonic() > end:
            raise TimeoutError("the answer did not end in time")
        yield part


def _answer(response: httpx2.Response, body: bytes) -> Answer:
    return Answer(response.status_code, response.headers.get("retry-after"), body)


def _read(request: Request[T], answer: Answer) -> T:
    try:
        return request.read(json.loads(answer.body))
    except (ValueError, KeyError, TypeError):
        raise not_heralds(answer.status, answer.body, request.idempotency_key) from None
