"""Writes that are not acceptances: one short transaction in a thread, done once per Idempotency-Key."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from uuid import UUID

from litestar import Request
from litestar.concurrency import sync_to_thread

from herald.api.http.bodies import read_json
from herald.api.http.idempotency import request_key_of
from herald.api.http.resources import Resources, resources_of
from herald.outbox.acceptance.idempotency import Receipt, RequestKey, find, remember
from herald.outbox.postgres.driver import Connection

T = TypeVar("T")
Work = Callable[[Connection], Sequence[UUID]]


async def once(request: Request[Any, Any, Any], body: bytes, work: Work) -> Receipt:
    """Do it and commit, or answer with the ids of the first time. What it raises is not remembered.

    Raises ProblemError, KeyInUseError, KeyReusedError and what the work raises.
    """
    request_key = await request_key_of(request, body)
    return await sync_to_thread(_once, resources_of(request), request_key, work)


async def in_transaction(request: Request[Any, Any, Any], work: Callable[[Connection], T]) -> T:
    """Do it in a thread and commit; returns what it returns."""
    return await sync_to_thread(_do, resources_of(request), work)


async def read_optional(request: Request[Any, Any, Any], decoder: Any, default: T) -> tuple[T, bytes]:  # noqa: ANN401 - msgspec's
    """The body, or the default where there is none. Raises ProblemError."""
    if request.headers.get("content-length", "0") == "0" and "transfer-encoding" not in request.headers:
        return default, b""
    found, body = await read_json(request, decoder, max_bytes=resources_of(request).settings.max_body)
    return found, body


def _do(resources: Resources, work: Callable[[Connection], T]) -> T:
    with resources.transaction() as connection:
        return work(connection)


def _once(resources: Resources, request_key: RequestKey | None, work: Work) -> Receipt:
    with resources.transaction() as connection:
        if request_key is None:
            return Receipt(work(connection))
        known = find(connection, request_key)
        if known is not None:
            return known
        return remember(connection, request_key, work(connection), ttl=resources.settings.idempotency_ttl)
