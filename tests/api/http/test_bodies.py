"""Bodies that arrive in pieces, as a server hands them out; Litestar's test client joins them."""

import asyncio
import json
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, cast

import pytest
from litestar import Request
from litestar.testing import RequestFactory
from litestar.types import Receive

from herald.api.http.bodies import read_json
from herald.api.http.problems import ProblemError

PIECE = 7  # bytes


def _request(raw: bytes) -> tuple[Request[Any, Any, Any], Iterator[dict[str, Any]]]:
    """A request whose body arrives in pieces, and the pieces that were not asked for yet."""
    starts = range(0, len(raw), PIECE)
    messages = ({"type": "http.request", "body": raw[at : at + PIECE], "more_body": at != starts[-1]} for at in starts)

    async def receive() -> dict[str, Any]:
        return next(messages)

    request = RequestFactory().post("/", headers={"content-type": "application/json"})
    request.receive = cast("Receive", receive)
    return request, messages


@pytest.mark.parametrize("kept", [0, 1, 5])
def test_a_body_whose_sender_leaves_before_its_end_is_refused_whatever_came(kept: int) -> None:
    request, pieces = _request(json.dumps({"words": "x" * 100}).encode())
    came = [next(pieces) for _ in range(kept)]
    came.append({"type": "http.disconnect"})

    async def receive() -> dict[str, Any]:
        return came.pop(0)

    request.receive = cast("Receive", receive)

    with pytest.raises(ProblemError, match="ended before its end"):
        asyncio.run(read_json(request, dict[str, str], max_bytes=1000))


def test_a_body_that_is_announced_too_large_is_refused_unread() -> None:
    request, unread = _request(b"x" * 1000)
    request.scope["headers"] = [*request.scope["headers"], (b"content-length", b"1000")]

    with pytest.raises(ProblemError) as raised:
        asyncio.run(read_json(request, dict[str, str], max_bytes=100))

    assert raised.value.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    assert len(list(unread)) == len(range(0, 1000, PIECE))


def test_the_pieces_of_a_body_are_put_together() -> None:
    sent = {"words": "x" * 100}
    request, _ = _request(json.dumps(sent).encode())

    assert asyncio.run(read_json(request, dict[str, str], max_bytes=1000)) == (sent, json.dumps(sent).encode())


def test_reading_ends_where_the_limit_is_passed() -> None:
    request, unread = _request(b"x" * 1000)

    with pytest.raises(ProblemError) as raised:
        asyncio.run(read_json(request, dict[str, str], max_bytes=100))

    assert raised.value.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    assert "100 bytes" in raised.value.detail
    assert len(list(unread)) > 100
