"""What was committed, read back over HTTP from real PostgreSQL."""

from datetime import datetime
from typing import Any
from uuid import UUID

import pytest

from tests.api.conftest import Client
from tests.outbox.connections import change, connected

GOOD = {"user_id": "1", "event": "e", "content": "c"}
UNKNOWN_ID = "0196f0de-0000-7000-8000-000000000000"
JSON = {"content-type": "application/json"}


def _post(herald: Client, **fields: Any) -> str:
    response = herald.post("/notifications", json={**GOOD, **fields})
    assert response.status_code == 202, response.text
    return str(response.json()["id"])


def _execute(database: str, statement: str, *values: object) -> None:
    with connected(database) as connection:
        change(connection, statement, *values)


def test_an_accepted_notification_is_pending(herald: Client) -> None:
    notification_id = _post(herald, user_id=7)

    found = herald.get(f"/notifications/{notification_id}").json()

    created_at = datetime.fromisoformat(found["created_at"])
    assert created_at.utcoffset() is not None
    assert found == {
        "id": notification_id,
        "user_id": "7",
        "event": "e",
        "content": "c",
        "channel": "log",
        "address": None,
        "status": "pending",
        "attempts": 0,
        "reason": None,
        "reason_code": None,
        "due_at": None,
        "deliver_by": None,
        "priority": 5,
        "destination": None,
        "group": None,
        "created_at": found["created_at"],
        "updated_at": found["created_at"],
        "sent_at": None,
        "again_of": None,
    }


def test_a_failed_notification_shows_its_reason_and_dates(herald: Client, database: str) -> None:
    notification_id = _post(herald)
    _execute(
        database,
        "UPDATE messages SET status = 'failed', attempts = 2, reason = 'timeout', due_at = '2030-01-01Z' WHERE id = %s",
        notification_id,
    )

    found = herald.get(f"/notifications/{notification_id}").json()

    assert (found["status"], found["attempts"], found["reason"]) == ("failed", 2, "timeout")
    assert found["due_at"] == "2030-01-01T00:00:00Z"


def test_the_history_begins_with_the_request(herald: Client) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    notification_id = herald.post("/notifications", json=GOOD, headers={"traceparent": trace}).json()["id"]

    (event,) = herald.get(f"/notifications/{notification_id}/events").json()["items"]

    assert (event["version"], event["type"]) == (1, "message.requested")
    assert datetime.fromisoformat(event["recorded_at"]).utcoffset() is not None
    assert event["data"] == {
        "topic": "notifications",
        "key": "1",
        "data": GOOD,
        "request": 1,
        "cause": "accepted",
        "traceparent": trace,
    }


def test_later_events_show_their_payload_in_order(herald: Client, database: str) -> None:
    notification_id = _post(herald)
    append = "INSERT INTO outbox (stream_id, version, type, payload) VALUES (%s, %s, %s, %s)"
    _execute(database, append, notification_id, 3, "message.sent", '{"attempt": 1}')
    _execute(database, append, notification_id, 2, "message.started", '{"attempt": 1, "lease_until": "2030-01-01Z"}')

    items = herald.get(f"/notifications/{notification_id}/events").json()["items"]

    assert [(one["version"], one["type"]) for one in items[1:]] == [(2, "message.started"), (3, "message.sent")]
    assert items[1]["data"] == {"attempt": 1, "lease_until": "2030-01-01Z"}


@pytest.mark.parametrize("path", ["/notifications/{}", "/notifications/{}/events", "/messages/{}"])
def test_an_unknown_id_is_named(herald: Client, path: str) -> None:
    response = herald.get(path.format(UNKNOWN_ID))

    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["errors"][0]["field"] == "id"
    assert UNKNOWN_ID in response.json()["detail"]


def test_a_message_of_another_topic_is_no_notification(herald: Client) -> None:
    message_id = herald.post("/messages", json={"topic": "generic_topic", "data": {}}).json()["id"]

    assert herald.get(f"/notifications/{message_id}").status_code == 404
    assert herald.get(f"/notifications/{message_id}/events").status_code == 404
    assert herald.get("/notifications").json()["items"] == []


def test_a_message_comes_back_with_its_numbers_exact(herald: Client) -> None:
    body = b'{"topic": "generic_topic", "key": "k", "data": {"total": 1.10, "exact": 12345678901234567890.123456789}}'

    accepted = herald.post("/messages", content=body, headers=JSON).json()
    response = herald.get(f"/messages/{accepted['id']}")

    assert '"total": 1.10' in response.text
    assert "12345678901234567890.123456789" in response.text
    found = response.json()
    assert (found["topic"], found["key"], found["status"], found["request"]) == ("generic_topic", "k", "pending", 1)


def test_a_number_that_postgresql_cannot_hold_is_refused_with_its_field(herald: Client) -> None:
    body = b'{"topic": "generic_topic", "data": {"a": 1e400000}}'

    response = herald.post("/messages", content=body, headers=JSON)

    assert response.status_code == 400
    assert response.json()["errors"] == [{"field": "data.a", "detail": "a number that PostgreSQL cannot store"}]


def test_pages_follow_each_other_newest_first(herald: Client) -> None:
    ids = [_post(herald) for _ in range(5)]

    pages: list[list[str]] = []
    cursor = ""
    while cursor is not None:
        page = herald.get(f"/notifications?limit=2{cursor and '&cursor='}{cursor}").json()
        pages.append([one["id"] for one in page["items"]])
        cursor = page["cursor"]

    assert pages == [[ids[4], ids[3]], [ids[2], ids[1]], [ids[0]]]


def test_a_full_last_page_has_no_cursor(herald: Client) -> None:
    for _ in range(2):
        _post(herald)

    assert herald.get("/notifications?limit=2").json()["cursor"] is None


def test_filters_narrow_the_list(herald: Client, database: str) -> None:
    first = _post(herald, user_id=1, event="shipped")
    second = _post(herald, user_id="1", event="paid")
    third = _post(herald, user_id=2, event="paid")
    _execute(database, "UPDATE messages SET status = 'dead', reason = 'no' WHERE id = %s", third)

    def found(query: str) -> list[str]:
        return [one["id"] for one in herald.get(f"/notifications?{query}").json()["items"]]

    assert found("user_id=1") == [second, first]
    assert found("event=paid") == [third, second]
    assert found("status=dead") == [third]
    assert found("user_id=1&event=shipped&status=pending") == [first]
    assert found("user_id=3") == []


def test_a_bulk_is_stored_in_order(herald: Client) -> None:
    items = [{"event": "e", "content": "c", "user_ids": [1, 2]}, {**GOOD, "user_id": 3}]

    accepted = herald.post("/notifications/bulk", json={"items": items}).json()["items"]
    listed = herald.get("/notifications").json()["items"]

    assert [one["id"] for one in listed] == [one["id"] for one in reversed(accepted)]
    assert [one["user_id"] for one in listed] == ["3", "2", "1"]


def test_ids_are_uuids_of_version_seven(herald: Client) -> None:
    assert UUID(_post(herald)).version == 7


@pytest.mark.parametrize("path", ["/notifications", "/dead-letters"])
def test_a_status_that_does_not_exist_is_answered_with_those_that_do(herald: Client, path: str) -> None:
    response = herald.get(f"{path}?status=gone")

    assert response.status_code == 400
    assert "status: no such status: gone; there are: " in response.json()["detail"]
    assert "unknown, dead" in response.json()["detail"] or "dead, unknown" in response.json()["detail"]


def test_a_message_whose_data_the_log_has_lost_ends_no_list(herald: Client, database: str) -> None:
    lost, other = _post(herald), _post(herald)
    _execute(database, "UPDATE messages SET data_version = 99, status = 'dead', reason = 'no' WHERE id = %s", lost)

    listed = herald.get("/notifications").json()["items"]

    assert [(one["id"], one["content"]) for one in listed] == [(other, listed[0]["content"]), (lost, "")]
    assert herald.get(f"/messages/{lost}").json()["data"] is None
    assert [one["data"] for one in herald.get("/dead-letters").json()["items"]] == [None]
