"""The dead-letter desk over HTTP."""

from typing import Any

import pytest

from herald.outbox.postgres.statements import fetch
from tests.api.conftest import Client, make_client
from tests.outbox.connections import change, connected

GOOD = {"user_id": "1", "event": "e", "content": "c"}
NOBODY = "01a225ad-2a0b-739f-8c7b-f3bc79677ed0"  # no message and no job has it


def post(herald: Client, **fields: Any) -> str:
    answer = herald.post("/notifications", json={**GOOD, **fields})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def bury(herald: Client, database: str, *, reason: str = "HTTP 500", count: int = 1, **fields: Any) -> list[str]:
    """As if the pipeline had given them up."""
    messages = [post(herald, **fields) for _ in range(count)]
    with connected(database) as connection:
        change(
            connection,
            "UPDATE messages SET status = 'dead', reason = %s, attempts = 1 WHERE id = ANY (%s::uuid[])",
            reason,
            messages,
        )
    return messages


def status(herald: Client, message: str) -> str:
    return str(herald.get(f"/messages/{message}").json()["status"])


def test_dead_letters_are_shown_by_error_one_by_one_and_whole(herald: Client, database: str) -> None:
    (first,) = bury(herald, database, reason="HTTP 404 (attempt 8 of 8)")
    bury(herald, database, count=2)

    groups = herald.get("/dead-letters/groups").json()["items"]
    page = herald.get("/dead-letters?error=HTTP 404").json()
    whole = herald.get(f"/dead-letters/{first}").json()

    assert [(one["error"], one["count"]) for one in groups] == [("HTTP 500", 2), ("HTTP 404", 1)]
    assert ([one["id"] for one in page["items"]], page["cursor"]) == ([first], None)
    assert whole["letter"]["data"] == GOOD
    assert [event["type"] for event in whole["events"]] == ["message.requested"]


@pytest.mark.parametrize("offset", ["-23:35", "%2B16:00"])
def test_a_date_that_postgresql_would_refuse_is_refused_with_its_field(client: Client, offset: str) -> None:
    listed = client.get(f"/dead-letters?since=0250-05-04T14:44:08.5772{offset}")
    body = {"filter": {"until": f"2026-12-01T00:00:00{offset.replace('%2B', '+')}"}}
    requeued = client.post("/dead-letters/requeues", json=body)

    assert (listed.status_code, listed.json()["errors"][0]["field"]) == (400, "since")
    assert (requeued.status_code, requeued.json()["errors"][0]["field"]) == (400, "filter.until")


@pytest.mark.parametrize("path", ["/notifications", "/dead-letters"])
def test_a_page_is_bounded_by_bytes_as_well(
    herald: Client, database: str, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    messages = bury(herald, database, count=3, content="x" * 1000)
    monkeypatch.setattr("herald.outbox.postgres.paging.PAGE_BYTES", 1500)
    found, query = [], "?limit=1000"

    while query:
        page = herald.get(f"{path}{query}").json()
        assert len(page["items"]) == 1
        found.append(page["items"][0]["id"])
        query = page["cursor"] and f"?limit=1000&cursor={page['cursor']}"

    assert found == messages[::-1]


def test_a_number_is_no_date(client: Client) -> None:
    answer = client.get("/dead-letters/groups?until=0.5")

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "until")


@pytest.mark.parametrize("path", ["/dead-letters/requeues", "/dead-letters/discards"])
def test_a_wrong_key_is_refused_on_a_dry_run_as_well(client: Client, path: str) -> None:
    body = {"filter": {}} if path.endswith("requeues") else {"filter": {}, "reason": "it is over"}

    answer = client.post(path, json=body, headers={"idempotency-key": "x" * 256})

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "Idempotency-Key")


def test_an_edited_subject_is_held_to_what_a_first_one_is(herald: Client, database: str) -> None:
    (message,) = bury(herald, database)

    answer = herald.post(f"/dead-letters/{message}/requeue", json={"data": {**GOOD, "subject": "a\tb"}})

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "data.subject")


def test_pages_follow_each_other(herald: Client, database: str) -> None:
    messages = bury(herald, database, count=3)

    first = herald.get("/dead-letters?limit=2").json()
    second = herald.get(f"/dead-letters?limit=2&cursor={first['cursor']}").json()

    assert [one["id"] for one in (*first["items"], *second["items"])] == messages[::-1]


def test_one_is_requeued_once(herald: Client, database: str) -> None:
    (message,) = bury(herald, database)

    answers = [herald.post(f"/dead-letters/{message}/requeue") for _ in range(2)]

    assert [answer.status_code for answer in answers] == [202, 409]
    assert answers[0].json() == {"id": message, "status": "pending"}
    assert answers[1].json()["detail"] == "id: it is pending, not on the desk"


def test_a_repeated_requeue_with_its_key_gets_the_same_answer(herald: Client, database: str) -> None:
    (message,) = bury(herald, database)
    headers = {"idempotency-key": "once"}

    answers = [herald.post(f"/dead-letters/{message}/requeue", headers=headers) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[1].headers["idempotency-replayed"] == "true"
    assert answers[0].headers["idempotency-key-expires"]


def test_an_edit_is_checked_like_any_input(herald: Client, database: str) -> None:
    (message,) = bury(herald, database)

    refused = herald.post(f"/dead-letters/{message}/requeue", json={"data": {**GOOD, "channel": "pigeon"}})
    wrong = herald.post(f"/dead-letters/{message}/requeue", json={"data": {"user_id": "1"}})
    taken = herald.post(f"/dead-letters/{message}/requeue", json={"data": {**GOOD, "content": "corrected"}})

    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "data.channel")
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (400, "data.event")
    assert taken.status_code == 202
    assert herald.get(f"/notifications/{message}").json()["content"] == "corrected"
    types = [event["type"] for event in herald.get(f"/notifications/{message}/events").json()["items"]]
    assert types == ["message.requested", "message.edited", "message.requested"]


def test_one_is_discarded_with_a_reason(herald: Client, database: str) -> None:
    (message,) = bury(herald, database)

    without = herald.post(f"/dead-letters/{message}/discard", json={})
    answer = herald.post(f"/dead-letters/{message}/discard", json={"reason": "the customer left"})

    assert (without.status_code, without.json()["errors"][0]["field"]) == (400, "reason")
    assert (answer.status_code, answer.json()["status"]) == (200, "discarded")
    assert herald.get(f"/messages/{message}").json()["reason"] == "the customer left"


def test_many_are_not_touched_before_somebody_says_so(herald: Client, database: str) -> None:
    messages = bury(herald, database, count=3)
    body = {"filter": {"error": "HTTP 500"}}

    requeue = herald.post("/dead-letters/requeues", json=body)
    discard = herald.post("/dead-letters/discards", json={**body, "reason": "over"})

    assert (requeue.status_code, requeue.json()["matching"], requeue.json()["dry_run"]) == (200, 3, True)
    assert (discard.status_code, discard.json()["matching"]) == (200, 3)
    assert {status(herald, message) for message in messages} == {"dead"}
    assert herald.get("/dead-letters/requeues").json() == {"items": []}


def test_many_are_requeued_by_a_job_that_can_be_stopped(herald: Client, database: str) -> None:
    bury(herald, database, count=3)
    body = {"filter": {"error": "HTTP 500"}, "dry_run": False, "rate": 5}

    made = herald.post("/dead-letters/requeues", json=body, headers={"idempotency-key": "job"})
    again = herald.post("/dead-letters/requeues", json=body, headers={"idempotency-key": "job"})
    job = f"/dead-letters/requeues/{made.json()['id']}"

    assert (made.status_code, made.json()["total"], made.json()["status"]) == (202, 3, "running")
    assert again.json()["id"] == made.json()["id"]
    assert herald.get(job).json()["filter"] == {"error": "HTTP 500"}
    stopped = [herald.post(f"{job}/stop", headers={"idempotency-key": "stop"}) for _ in range(2)]
    assert [answer.json()["status"] for answer in stopped] == ["stopped", "stopped"]
    assert stopped[1].headers["idempotency-replayed"] == "true"
    assert herald.get(job).json()["status"] == "stopped"
    assert [one["status"] for one in herald.get("/dead-letters/requeues").json()["items"]] == ["stopped"]


def test_many_are_discarded_when_somebody_says_so(herald: Client, database: str) -> None:
    messages = bury(herald, database, count=3)
    (other,) = bury(herald, database, reason="HTTP 404")

    answer = herald.post(
        "/dead-letters/discards", json={"filter": {"error": "HTTP 500"}, "reason": "over", "dry_run": False}
    )

    assert answer.json() == {"discarded": 3, "left": 0}
    assert {status(herald, message) for message in messages} == {"discarded"}
    assert status(herald, other) == "dead"


@pytest.mark.parametrize(
    ("path", "body", "code", "field"),
    [
        ("/dead-letters?colour=red", None, 400, "colour"),
        ("/dead-letters?since=yesterday", None, 400, "since"),
        ("/dead-letters?status=sent", None, 400, "status"),
        ("/dead-letters/x", None, 400, "id"),
        (f"/dead-letters/{NOBODY}", None, 404, "id"),
        (f"/dead-letters/requeues/{NOBODY}", None, 404, "id"),
        (f"/dead-letters/requeues/{NOBODY}/stop", {}, 404, "id"),
        (f"/dead-letters/{NOBODY}/requeue", {}, 404, "id"),
        ("/dead-letters/requeues", {"filter": {"colour": "red"}}, 400, "filter.colour"),
        ("/dead-letters/requeues", {"rate": 0}, 400, "rate"),
        ("/dead-letters/discards", {"filter": {}}, 400, "reason"),
        ("/dead-letters/discards?topic=notifications", {"filter": {}, "reason": "over"}, 400, "topic"),
        ("/dead-letters/requeues?error=HTTP 500", {"dry_run": False}, 400, "error"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_field(
    herald: Client, path: str, body: object, code: int, field: str
) -> None:
    answer = herald.get(path) if body is None else herald.post(path, json=body)

    assert answer.status_code == code, answer.text
    assert answer.json()["errors"][0]["field"] == field


def test_a_message_that_is_not_on_the_desk_is_no_dead_letter(herald: Client) -> None:
    message = post(herald)

    assert herald.get(f"/dead-letters/{message}").status_code == 409


def test_a_cancel_is_repeated_under_its_key(database: str) -> None:
    with make_client(database) as herald:
        message = post(herald)
        answers = [herald.post(f"/notifications/{message}/cancel", headers={"idempotency-key": "c"}) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[1].headers["idempotency-replayed"] == "true"
    with connected(database) as connection:
        assert fetch(connection, "SELECT count(*) FROM outbox") == [(2,)]
