"""What a request becomes before it is committed."""

import json
from typing import Any
from unittest.mock import patch

import pytest

from herald.api.http.headers import AT_ONCE
from herald.outbox import registry
from tests.api.conftest import Client
from tests.api.fakes import FakeCommitter

GOOD = {"user_id": "1", "event": "e", "content": "c"}
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def _data(committer: FakeCommitter) -> list[dict[str, Any]]:
    return [json.loads(bytes(one.data)) for one in committer.accepted]


def test_a_notification_is_answered_with_its_id_and_status(client: Client, committer: FakeCommitter) -> None:
    response = client.post("/notifications", json=GOOD)

    assert response.status_code == 202
    assert response.headers["content-type"] == "application/json"
    (accepted,) = committer.accepted
    assert response.json() == {"id": str(accepted.id), "status": "pending"}
    assert (accepted.topic, accepted.key, _data(committer)) == ("notifications", "1", [GOOD])


def test_what_only_other_processes_know_is_accepted(client: Client, committer: FakeCommitter) -> None:
    with patch.dict(registry.ELSEWHERE, topics=("orders",), channels=("pager",)):
        order = client.post("/messages", json={"topic": "orders", "data": {}})
        page = client.post("/notifications", json={**GOOD, "channel": "pager"})

    assert (order.status_code, page.status_code) == (202, 202)
    assert [one.topic for one in committer.accepted] == ["orders", "notifications"]


@pytest.mark.parametrize("path", ["/notifications", "/notifications/bulk", "/messages"])
def test_an_integer_user_id_is_kept_as_text(client: Client, committer: FakeCommitter, path: str) -> None:
    notification = {**GOOD, "user_id": 9007199254740993}
    bodies = {
        "/notifications": notification,
        "/notifications/bulk": {"items": [notification]},
        "/messages": {"topic": "notifications", "data": notification},
    }

    response = client.post(path, json=bodies[path])

    assert response.status_code == 202
    assert _data(committer)[0]["user_id"] == committer.accepted[0].key == "9007199254740993"


def test_a_registered_channel_is_kept(client: Client, committer: FakeCommitter) -> None:
    client.post("/notifications", json={**GOOD, "channel": "log"})

    assert _data(committer) == [{**GOOD, "channel": "log"}]


def test_a_bulk_is_expanded_in_order(client: Client, committer: FakeCommitter) -> None:
    words = {"event": "e", "content": "c"}
    items = [{**words, "user_id": 1}, {**words, "user_ids": [2, "3"]}, {**words, "user_id": "4"}]

    response = client.post("/notifications/bulk", json={"items": items})

    assert response.status_code == 202
    assert [one.key for one in committer.accepted] == ["1", "2", "3", "4"]
    first, second, third, fourth = [str(one.id) for one in committer.accepted]
    rest, group = [str(one.group_id) for one in committer.accepted[:2]]
    assert rest != group
    assert response.json() == {
        "items": [
            {"id": first, "status": "pending", "group": rest},
            {"id": second, "status": "pending", "group": group},
            {"id": third, "status": "pending", "group": group},
            {"id": fourth, "status": "pending", "group": rest},
        ],
        "count": 4,
    }


def test_a_bulk_takes_a_thousand(client: Client, committer: FakeCommitter) -> None:
    item = {"event": "e", "content": "c", "user_ids": list(range(1000))}

    response = client.post("/notifications/bulk", json={"items": [item]})

    assert response.json()["count"] == len(committer.accepted) == 1000


def test_the_data_of_a_message_is_not_touched(client: Client, committer: FakeCommitter) -> None:
    data = b'{"total": 1.10, "exact": 12345678901234567890.123456789, "b": 1, "a": "\\u00e9"}'
    body = b'{"topic": "generic_topic", "key": "order-7", "data": ' + data + b"}"

    response = client.post("/messages", content=body, headers={"content-type": "application/json"})

    assert response.status_code == 202
    (accepted,) = committer.accepted
    assert (accepted.topic, accepted.key, bytes(accepted.data)) == ("generic_topic", "order-7", data)


def test_a_message_needs_no_key(client: Client, committer: FakeCommitter) -> None:
    client.post("/messages", json={"topic": "generic_topic", "data": {}})

    assert committer.accepted[0].key is None


@pytest.mark.parametrize("key", [{}, {"key": "1"}, {"key": None}])
def test_a_notification_among_the_messages_has_its_user_as_key(
    client: Client, committer: FakeCommitter, key: dict[str, str | None]
) -> None:
    response = client.post("/messages", json={"topic": "notifications", "data": GOOD, **key})

    assert response.status_code == 202
    assert committer.accepted[0].key == "1"


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (TRACE, TRACE),
        (None, None),
        ("nonsense", None),
        (TRACE.upper(), None),
        (f"{TRACE}-extra", None),
        (TRACE.replace("00-4b", "ff-4b"), None),
        ("00-" + "0" * 32 + "-00f067aa0ba902b7-01", None),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-" + "0" * 16 + "-01", None),
    ],
)
def test_a_valid_traceparent_goes_along(
    client: Client, committer: FakeCommitter, sent: str | None, kept: str | None
) -> None:
    headers = {"traceparent": sent} if sent else {}

    response = client.post("/notifications", json=GOOD, headers=headers)

    assert response.status_code == 202
    assert committer.accepted[0].traceparent == kept


def test_a_large_body_is_accepted_like_a_small_one(client: Client, committer: FakeCommitter) -> None:
    items = [{**GOOD, "content": "x" * 800}] * 90

    response = client.post("/notifications/bulk", json={"items": items})

    assert len(response.request.content) > AT_ONCE
    assert response.status_code == 202
    assert len(committer.accepted) == 90
