"""A wrong body is a problem that names the field and the limit."""

import json
from typing import Any

import pytest

from herald.outbox.acceptance.committer import RefusedError, UnavailableError
from tests.api.conftest import SMALL, Client
from tests.api.fakes import FakeCommitter

GOOD = {"user_id": "1", "event": "e", "content": "c"}


def _without(name: str) -> dict[str, Any]:
    return {key: value for key, value in GOOD.items() if key != name}


def _bulk(*items: dict[str, Any]) -> dict[str, Any]:
    return {"items": list(items)}


NOTIFICATIONS = [
    pytest.param({**GOOD, "colour": "red"}, "colour", "unknown", id="unknown field"),
    pytest.param(_without("content"), "content", "required", id="missing field"),
    pytest.param({**GOOD, "event": 5}, "event", "`str`", id="wrong type"),
    pytest.param({**GOOD, "user_id": True}, "user_id", "`bool`", id="a boolean is no integer"),
    pytest.param({**GOOD, "user_id": 1.5}, "user_id", "`float`", id="a fraction is no id"),
    pytest.param({**GOOD, "user_id": 10**300}, "user_id", "255", id="integer too long"),
    pytest.param({**GOOD, "user_id": ""}, "user_id", ">= 1", id="empty"),
    pytest.param({**GOOD, "event": "e" * 256}, "event", "<= 255", id="too long"),
    pytest.param({**GOOD, "content": "a\0b"}, "content", "NUL", id="NUL"),
    pytest.param({**GOOD, "channel": "pigeon"}, "channel", "registered: log", id="unknown channel"),
    pytest.param([GOOD], "body", "`object`", id="not an object"),
]
BULKS = [
    pytest.param(_bulk(), "items", ">= 1", id="no items"),
    pytest.param(_bulk(*[{**GOOD}] * 1001), "items", "<= 1000", id="too many items"),
    pytest.param(_bulk(GOOD, {**GOOD, "content": ""}), "items[1].content", ">= 1", id="the item's index is named"),
    pytest.param(_bulk(GOOD, _without("user_id")), "items[1]", "user_id or user_ids", id="nobody"),
    pytest.param(_bulk({**GOOD, "user_ids": ["2"]}), "items[0]", "user_id or user_ids", id="both"),
    pytest.param(
        _bulk({**_without("user_id"), "user_ids": [7, "7"]}), "items[0].user_ids[1]", "twice", id="a user twice"
    ),
    pytest.param(
        _bulk(GOOD, {**_without("user_id"), "user_ids": list(range(1000))}), "items", "limit is 1000", id="expansion"
    ),
    pytest.param(_bulk(GOOD, {**GOOD, "channel": "pigeon"}), "items[1].channel", "log", id="unknown channel"),
]
MESSAGES = [
    pytest.param({"topic": "nope", "data": {}}, "topic", "generic_topic", id="unknown topic"),
    pytest.param({"topic": "generic_topic", "data": [1]}, "data", "object", id="data is not an object"),
    pytest.param({"topic": "generic_topic"}, "data", "required", id="no data"),
    pytest.param({"topic": "generic_topic", "data": {"a": {"b": "\0"}}}, "data.a.b", "NUL", id="NUL deep inside"),
    pytest.param({"topic": "generic_topic", "data": {}, "key": ""}, "key", ">= 1", id="empty key"),
    pytest.param({"topic": "notifications", "data": {"event": "e"}}, "data.user_id", "required", id="notification"),
    pytest.param({"topic": "notifications", "data": GOOD, "key": "2"}, "key", "user_id", id="key is not the user"),
]
CASES = [("/notifications", NOTIFICATIONS), ("/notifications/bulk", BULKS), ("/messages", MESSAGES)]


@pytest.mark.parametrize(
    ("path", "body", "field", "mentioned"),
    [pytest.param(path, *case.values, id=f"{path.strip('/')}: {case.id}") for path, cases in CASES for case in cases],
)
def test_a_wrong_body_is_refused_by_field(
    client: Client, committer: FakeCommitter, path: str, body: object, field: str, mentioned: str
) -> None:
    response = client.post(path, json=body)

    assert response.status_code == 400
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert (problem["type"], problem["title"], problem["status"]) == ("about:blank", "Bad Request", 400)
    assert [error["field"] for error in problem["errors"]] == [field]
    assert mentioned in problem["errors"][0]["detail"]
    assert field in problem["detail"]
    assert not committer.accepted


@pytest.mark.parametrize("path", ["/notifications", "/notifications/bulk", "/messages"])
@pytest.mark.parametrize(
    ("raw", "mentioned"),
    [
        pytest.param(b"", "empty", id="empty"),
        pytest.param(b'{"user_id": "1"', "not valid JSON", id="cut short"),
        pytest.param(b'{"user_id": "\xff"}', "invalid UTF-8 at byte 13", id="invalid UTF-8"),
        pytest.param(b'{"user_id": "\\ud800"}', "lone surrogate", id="lone surrogate"),
        pytest.param(b'{"user_id": ' + b"[" * 40 + b"]" * 40 + b"}", "limit of 32", id="too deep"),
        pytest.param(b"[" * 2000, "limit of 32", id="far too deep"),
    ],
)
def test_what_is_not_storable_json_is_refused(client: Client, path: str, raw: bytes, mentioned: str) -> None:
    response = client.post(path, content=raw, headers={"content-type": "application/json"})

    assert response.status_code == 400
    assert response.json()["errors"][0]["field"] == "body"
    assert mentioned in response.json()["detail"]


@pytest.mark.parametrize(
    ("path", "limit"),
    [
        ("/notifications", SMALL["max_body"]),
        ("/messages", SMALL["max_body"]),
        ("/notifications/bulk", SMALL["max_bulk_body"]),
    ],
)
def test_a_body_too_large_is_refused_with_the_limit(client: Client, path: str, limit: int) -> None:
    body = json.dumps({**GOOD, "content": "x" * limit})

    response = client.post(path, content=body, headers={"content-type": "application/json"})

    assert response.status_code == 413
    assert str(limit) in response.json()["errors"][0]["detail"]


def test_a_bulk_that_grows_too_large_by_expansion_is_refused(client: Client, committer: FakeCommitter) -> None:
    many = {**_without("user_id"), "content": "x" * 1000, "user_ids": list(range(200))}

    response = client.post("/notifications/bulk", json=_bulk(many))

    assert response.status_code == 413
    assert response.json()["errors"][0]["field"] == "items[0]"
    assert str(SMALL["max_bulk_body"]) in response.json()["detail"]
    assert not committer.accepted


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonl", None])
def test_only_json_is_taken(client: Client, media_type: str | None) -> None:
    headers = {"content-type": media_type} if media_type else {}

    response = client.post("/notifications", content=json.dumps(GOOD).encode(), headers=headers)

    assert response.status_code == 415
    assert response.json()["errors"][0]["field"] == "content-type"


@pytest.mark.parametrize("media_type", ["application/json; charset=utf-8", "application/cloudevents+json"])
def test_json_by_any_other_name_is_taken(client: Client, media_type: str) -> None:
    response = client.post("/notifications", content=json.dumps(GOOD).encode(), headers={"content-type": media_type})

    assert response.status_code == 202


def test_what_postgresql_refuses_is_answered_with_its_reason(client: Client, committer: FakeCommitter) -> None:
    committer.failure = RefusedError("value overflows numeric format")

    response = client.post("/notifications", json=GOOD)

    assert response.status_code == 422
    assert "value overflows numeric format" in response.json()["detail"]


def test_a_database_that_is_away_means_try_again(client: Client, committer: FakeCommitter) -> None:
    committer.failure = UnavailableError("connection refused")

    response = client.post("/notifications", json=GOOD)

    assert response.status_code == 503
    assert int(response.headers["retry-after"]) > 0
    assert response.headers["content-type"] == "application/problem+json"


def test_an_error_of_ours_tells_nothing_of_the_inside(client: Client, committer: FakeCommitter) -> None:
    committer.failure = KeyError("secret")

    response = client.post("/notifications", json=GOOD)

    assert response.status_code == 500
    assert response.headers["content-type"] == "application/problem+json"
    assert "secret" not in response.text
