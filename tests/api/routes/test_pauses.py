"""Pauses over HTTP."""

import pytest

from tests.api.conftest import Client


@pytest.mark.parametrize("scope", ["all", "topic:notifications", "channel:webhook"])
def test_a_scope_is_paused_and_resumed_as_often_as_one_likes(herald: Client, scope: str) -> None:
    paused = [herald.put(f"/pauses/{scope}", json={"reason": "maintenance"}), herald.put(f"/pauses/{scope}")]

    assert [answer.status_code for answer in paused] == [200, 200]
    assert [(one["scope"], one["reason"]) for one in herald.get("/pauses").json()["items"]] == [(scope, "maintenance")]
    resumed = [herald.delete(f"/pauses/{scope}").json() for _ in range(2)]
    assert resumed == [{"scope": scope, "was_paused": True}, {"scope": scope, "was_paused": False}]
    assert herald.get("/pauses").json() == {"items": []}


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_a_scope_that_nobody_knows_is_named_with_those_that_there_are(herald: Client, method: str) -> None:
    answer = herald.request(method, "/pauses/topic:letters")

    assert answer.status_code == 404
    assert answer.json()["errors"][0]["field"] == "what"
    assert "there are: all, topic:notifications" in answer.json()["detail"]


def test_a_reason_has_its_limit(herald: Client) -> None:
    answer = herald.put("/pauses/all", json={"reason": "x" * 501})

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "reason")
