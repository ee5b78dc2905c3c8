"""What is over is sent again over HTTP, on real PostgreSQL."""

from typing import Any

import pytest

from tests.api.conftest import Client

NOBODY = "0196f0de-0000-7000-8000-000000000000"
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
BODY = b'{"topic": "generic_topic", "key": "k", "data": {"exact" : 12345678901234567890.10}, "priority": 7}'


def _over(herald: Client, path: str = "/messages", body: bytes = BODY) -> str:
    """A message that was cancelled."""
    posted = herald.post(path, content=body, headers={"content-type": "application/json"})
    message: str = posted.json()["id"]
    assert herald.post(f"{path}/{message}/cancel").status_code == 200
    return message


def test_what_is_over_is_sent_again_as_a_new_message(herald: Client) -> None:
    first = _over(herald)

    answer = herald.post(f"/messages/{first}/again", headers={"traceparent": TRACE})

    assert answer.status_code == 202, answer.text
    again = answer.json()["id"]
    assert answer.json() == {"id": again, "status": "pending"}
    assert again != first
    found = herald.get(f"/messages/{again}")
    assert b'"data":{"exact" : 12345678901234567890.10}' in found.content
    wanted = {"key": "k", "status": "pending", "priority": 7, "again_of": first, "sent_again": []}
    assert found.json() == {**found.json(), **wanted}


def test_the_first_stays_as_it_is_and_names_what_it_was_sent_again_as(herald: Client) -> None:
    first = _over(herald)
    before = herald.get(f"/messages/{first}").json()

    again = [herald.post(f"/messages/{first}/again").json()["id"] for _ in range(2)]

    assert before["sent_again"] == []
    assert herald.get(f"/messages/{first}").json() == {**before, "sent_again": again}


def test_a_notification_says_what_it_repeats_also_in_lists_and_in_its_history(herald: Client) -> None:
    first = _over(herald, "/notifications", b'{"user_id": 7, "event": "e", "content": "c"}')

    again = herald.post(f"/notifications/{first}/again", headers={"traceparent": TRACE}).json()["id"]

    assert herald.get(f"/notifications/{again}").json()["again_of"] == first
    named = [(one["id"], one["again_of"]) for one in herald.get("/notifications?user_id=7").json()["items"]]
    assert named == [(again, first), (first, None)]
    (begun,) = herald.get(f"/notifications/{again}/events").json()["items"]
    assert (begun["data"]["again_of"], begun["data"]["traceparent"]) == (first, TRACE)


def test_what_is_not_over_is_a_conflict_that_names_its_status(herald: Client) -> None:
    pending = herald.post("/messages", json={"topic": "generic_topic", "data": {}}).json()["id"]

    answer = herald.post(f"/messages/{pending}/again")

    assert answer.status_code == 409
    assert answer.json()["errors"] == [{"field": "id", "detail": "it is pending: it can be sent again once it is over"}]


@pytest.mark.parametrize("path", ["/messages/{}/again", "/notifications/{}/again"])
def test_what_nobody_has_is_not_found(herald: Client, path: str) -> None:
    answer = herald.post(path.format(NOBODY))

    assert answer.status_code == 404
    assert answer.json()["errors"][0]["field"] == "id"


def test_a_message_of_another_topic_is_no_notification(herald: Client) -> None:
    assert herald.post(f"/notifications/{_over(herald)}/again").status_code == 404


def test_a_repeated_key_gets_the_same_message(herald: Client) -> None:
    first = _over(herald)
    headers = {"idempotency-key": "key"}

    answers = [herald.post(f"/messages/{first}/again", headers=headers) for _ in range(2)]

    assert answers[0].json() == answers[1].json()
    assert [one.headers.get("idempotency-replayed") for one in answers] == [None, "true"]
    assert len(herald.get(f"/messages/{first}").json()["sent_again"]) == 1


def test_a_parameter_that_nobody_reads_is_refused(herald: Client) -> None:
    answer = herald.post(f"/messages/{_over(herald)}/again?deliver_at=2027-01-01T00:00:00Z")

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "deliver_at"


def test_the_document_describes_it(herald: Client) -> None:
    described: dict[str, Any] = herald.get("/docs/openapi.json").json()["paths"]

    for path in ("/messages/{id}/again", "/notifications/{id}/again"):
        told = described[path]["post"]
        assert set(told["responses"]) == {"202", "400", "401", "403", "404", "409", "413", "422", "503"}
        assert [one["name"] for one in told["parameters"]] == ["id", "traceparent", "Idempotency-Key"]
        assert "requestBody" not in told
