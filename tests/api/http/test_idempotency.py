"""The header `Idempotency-Key`: what it may be, and what a repetition is answered."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from litestar import Request
from litestar.testing import RequestFactory

from herald.api.http.headers import AT_ONCE, request_key_of
from herald.api.http.problems import ProblemError
from herald.outbox.acceptance.idempotency import KeyInUseError, find, make_request_key
from tests.api.conftest import Client, make_client
from tests.api.fakes import KEPT_UNTIL, FakeCommitter
from tests.outbox.connections import connected

GOOD = {"user_id": "1", "event": "e", "content": "c"}
MESSAGE = {"topic": "generic_topic", "data": {"a": 1}}
WRITES = [("/notifications", GOOD), ("/notifications/bulk", {"items": [GOOD, GOOD]}), ("/messages", MESSAGE)]
OVERFLOW = b'{"topic": "generic_topic", "data": {"n": 1e400000}}'  # PostgreSQL's numeric cannot hold it
JSON = {"content-type": "application/json"}


def _key(value: str) -> dict[str, str]:
    return {"idempotency-key": value}


@pytest.mark.parametrize(("path", "body"), WRITES)
def test_the_same_request_again_gets_the_same_answer(herald: Client, path: str, body: Any) -> None:
    first = herald.post(path, json=body, headers=_key("k"))
    again = herald.post(path, json=body, headers=_key("k"))

    assert (first.status_code, again.status_code) == (202, 202)
    assert again.content == first.content
    assert again.headers["idempotency-key-expires"] == first.headers["idempotency-key-expires"]
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert len(herald.get("/notifications").json()["items"]) == {"/notifications": 1, "/notifications/bulk": 2}.get(
        path, 0
    )


def test_a_repeated_bulk_keeps_the_order_of_its_ids(herald: Client) -> None:
    body = {"items": [{"event": "e", "content": "c", "user_ids": list(range(300))}]}

    first, again = (herald.post("/notifications/bulk", json=body, headers=_key("k")) for _ in range(2))

    assert again.json() == first.json()
    assert len({item["id"] for item in again.json()["items"]}) == 300


def test_a_large_body_is_compared_whole(client: Client) -> None:
    items = [{**GOOD, "content": "x" * 800}] * 90

    first = client.post("/notifications/bulk", json={"items": items}, headers=_key("k"))
    again = client.post("/notifications/bulk", json={"items": items}, headers=_key("k"))
    other = client.post(
        "/notifications/bulk", json={"items": [*items[:-1], {**GOOD, "content": "y" * 800}]}, headers=_key("k")
    )

    assert len(first.request.content) > AT_ONCE
    assert (first.json(), again.status_code, other.status_code) == (again.json(), 202, 422)


@pytest.mark.parametrize(("path", "body"), [("/notifications", {**GOOD, "content": "d"}), ("/messages", MESSAGE)])
def test_another_request_under_the_same_key_is_a_problem_that_names_the_header(
    herald: Client, path: str, body: Any
) -> None:
    herald.post("/notifications", json=GOOD, headers=_key("k"))

    response = herald.post(path, json=body, headers=_key("k"))

    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["errors"][0]["field"] == "Idempotency-Key"
    assert "belongs to another request" in response.json()["detail"]


def test_a_key_that_is_being_handled_is_a_conflict_to_be_tried_again(client: Client, committer: FakeCommitter) -> None:
    committer.failure = KeyInUseError("another request with this key is being handled")

    response = client.post("/notifications", json=GOOD, headers=_key("k"))

    assert response.status_code == 409
    assert response.headers["retry-after"] == "1"
    assert response.json()["errors"][0]["field"] == "Idempotency-Key"


def test_a_key_that_another_process_handles_is_a_conflict_at_once(herald: Client, database: str) -> None:
    with connected(database) as other:
        find(other, make_request_key("k", method="POST", path="/messages", body=b"other"))

        assert herald.post("/messages", json=MESSAGE, headers=_key("k")).status_code == 409
        other.rollback()

        assert herald.post("/messages", json=MESSAGE, headers=_key("k")).status_code == 202


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        pytest.param(b"{", JSON, 400, id="not JSON"),
        pytest.param(b'{"topic": "nope", "data": {}}', JSON, 400, id="no such topic"),
        pytest.param(b'{"topic": "generic_topic", "data": {}}', {"content-type": "text/plain"}, 415, id="media type"),
        pytest.param(b'{"topic": "generic_topic", "data": {"a": "' + b"x" * 4096 + b'"}}', JSON, 413, id="too large"),
        pytest.param(OVERFLOW, JSON, 400, id="a number too large"),
    ],
)
def test_a_refused_request_may_be_corrected_under_its_key(
    database: str, body: bytes, headers: dict[str, str], status: int
) -> None:
    with make_client(database, max_body=4096) as herald:
        refused = [herald.post("/messages", content=body, headers={**headers, **_key("k")}) for _ in range(2)]
        corrected = herald.post("/messages", json=MESSAGE, headers=_key("k"))

    assert [one.status_code for one in refused] == [status, status]
    assert refused[0].json() == refused[1].json()
    assert corrected.status_code == 202
    assert "idempotency-replayed" not in corrected.headers


def test_without_a_key_nothing_is_said_about_it(client: Client) -> None:
    first, again = (client.post("/notifications", json=GOOD) for _ in range(2))

    assert first.json() != again.json()
    assert not [name for name in first.headers if name.startswith("idempotency")]


def test_the_date_is_rfc_3339_in_utc_and_not_later_than_the_key_is_kept(client: Client) -> None:
    response = client.post("/notifications", json=GOOD, headers=_key("k"))

    assert KEPT_UNTIL.microsecond
    assert response.headers["idempotency-key-expires"] == "2026-11-25T12:30:15Z"


def test_a_key_is_kept_for_the_time_that_is_set(database: str) -> None:
    with make_client(database, idempotency_ttl=90) as herald:
        response = herald.post("/notifications", json=GOOD, headers=_key("k"))

    until = response.headers["idempotency-key-expires"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", until)
    assert timedelta(seconds=60) < datetime.fromisoformat(until) - datetime.now(UTC) < timedelta(seconds=91)


@pytest.mark.parametrize(
    ("sent", "same"),
    [
        ("k", "k"),
        ("k" * 255, "k" * 255),
        ('"k"', "k"),
        ('"' + "k" * 255 + '"', "k" * 255),
        (r'"a\"b\\c"', r'a"b\c'),
        ('a"b', 'a"b'),
        ("a b~!", '"a b~!"'),
    ],
)
def test_a_key_may_stand_in_quotes_or_without(client: Client, sent: str, same: str) -> None:
    first = client.post("/notifications", json=GOOD, headers=_key(sent))
    again = client.post("/notifications", json=GOOD, headers=_key(same))

    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json() == first.json()


@pytest.mark.parametrize("path", ["/notifications", "/notifications/bulk", "/messages"])
@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"  ", id="blank"),
        pytest.param(b'""', id="empty in quotes"),
        pytest.param(b"k" * 256, id="too long"),
        pytest.param(b'"' + b"k" * 256 + b'"', id="too long in quotes"),
        pytest.param(b"k\xc3\xa9", id="not ASCII"),
        pytest.param(b"a\tb", id="not printable"),
        pytest.param(b"a\x7fb", id="DEL"),
        pytest.param(b'"k', id="quote not closed"),
        pytest.param(b'"k"; a=1', id="more than a string"),
        pytest.param(rb'"a\b"', id="escape of nothing"),
    ],
)
def test_a_wrong_key_is_refused_with_the_limit(
    client: Client, committer: FakeCommitter, path: str, sent: bytes
) -> None:
    body = dict(WRITES)[path]

    response = client.post(path, json=body, headers=[(b"idempotency-key", sent)])

    assert response.status_code == 400
    assert response.json()["errors"][0]["field"] == "Idempotency-Key"
    assert "1 to 255 printable ASCII" in response.json()["detail"]
    assert not committer.accepted


def test_a_key_given_twice_is_refused() -> None:
    headers = [(b"idempotency-key", b"k"), (b"idempotency-key", b"k")]
    request: Request[Any, Any, Any] = RequestFactory().post("/")
    request.scope["headers"] = headers  # the test client would join them

    with pytest.raises(ProblemError, match="Idempotency-Key: is given 2 times") as raised:
        asyncio.run(request_key_of(request, b"{}"))

    assert raised.value.status == 400


def test_the_document_describes_the_header_and_what_comes_of_it(client: Client) -> None:
    paths = client.get("/docs/openapi.json").json()["paths"]

    for path, _ in WRITES:
        operation = paths[path]["post"]
        (header,) = [one for one in operation["parameters"] if one["name"] == "Idempotency-Key"]
        assert (header["in"], header["schema"]["type"]) == ("header", "string")
        assert {"Idempotency-Key-Expires", "Idempotency-Replayed"} <= set(operation["responses"]["202"]["headers"])
        assert "409" in operation["responses"]
