"""One notification for several users is one thing: it has a group, is counted and cancelled by it."""

from typing import Any

import pytest

from herald.outbox.moves.cancel import cancel_part
from herald.outbox.moves.claim import Record, claim
from herald.outbox.postgres.statements import fetch, fetch_value
from tests.api.conftest import Client
from tests.outbox.connections import change, connected
from tests.pipeline.records import new_id

SALE = {"event": "sale.began", "content": "Everything must go."}
NONE_OF_ANY = dict.fromkeys(
    ["scheduled", "pending", "sending", "sent", "failed", "unknown", "dead", "cancelled", "expired", "discarded"], 0
)


def posted(herald: Client, *user_ids: str, **headers: str) -> tuple[str, list[str]]:
    """The group of these users, and its notifications."""
    items = [{**SALE, "user_ids": list(user_ids)}, {**SALE, "user_id": "alone"}]
    answer = herald.post("/notifications/bulk", json={"items": items}, headers=headers)
    assert answer.status_code == 202, answer.text
    *grouped, alone = answer.json()["items"]
    (group,) = {one["group"] for one in grouped}
    assert alone["group"] is None
    return group, [one["id"] for one in grouped]


def counts(herald: Client, group: str) -> dict[str, int]:
    """In each status that there is."""
    found = herald.get(f"/groups/{group}").raise_for_status().json()
    assert found["counts"].keys() == NONE_OF_ANY.keys()
    assert found["total"] == sum(found["counts"].values())
    return {status: count for status, count in found["counts"].items() if count}


def test_several_users_of_one_item_are_a_group_that_every_answer_names(herald: Client) -> None:
    group, messages = posted(herald, "ada", "bob")

    listed = herald.get(f"/notifications?group={group}").json()["items"]
    assert [(one["id"], one["group"]) for one in listed] == [(one, group) for one in reversed(messages)]
    for message in messages:
        shown = [herald.get(f"/{area}/{message}").json()["group"] for area in ("notifications", "messages")]
        assert shown == [group, group]
        events = herald.get(f"/notifications/{message}/events").json()["items"]
        assert events[0]["data"]["group_id"] == group
    assert [one["group"] for one in herald.get("/notifications?user_id=alone").json()["items"]] == [None]


def test_each_item_with_several_users_is_a_group_of_its_own(herald: Client) -> None:
    items = [{**SALE, "user_ids": ["ada", "bob"]}, {**SALE, "user_ids": ["ada"]}]

    first, second, third = herald.post("/notifications/bulk", json={"items": items}).json()["items"]

    assert first["group"] == second["group"] != third["group"]
    assert counts(herald, third["group"]) == {"pending": 1}


def test_a_repeated_request_is_answered_with_the_same_group(herald: Client) -> None:
    key = {"idempotency-key": "sale"}
    first, second = posted(herald, "ada", "bob", **key), posted(herald, "ada", "bob", **key)

    assert first == second
    assert counts(herald, first[0]) == {"pending": 2}


def test_a_group_is_counted_by_status(herald: Client, database: str) -> None:
    group, (first, second, _) = posted(herald, "ada", "bob", "eve")
    with connected(database) as connection:
        change(connection, "UPDATE messages SET status = 'sent', sent_at = now() WHERE id = %s", first)
        change(connection, "UPDATE messages SET status = 'dead', updated_at = '2030-01-01Z' WHERE id = %s", second)

    assert counts(herald, group) == {"pending": 1, "sent": 1, "dead": 1}

    found, one = herald.get(f"/groups/{group}").json(), herald.get(f"/messages/{first}").json()
    assert (found["id"], found["accepted_at"], found["updated_at"]) == (
        group, one["accepted_at"], "2030-01-01T00:00:00Z",
    )  # fmt: skip
    (letter,) = herald.get("/dead-letters").json()["items"]
    assert (letter["id"], letter["group"]) == (second, group)


def test_a_group_is_cancelled_as_one_and_what_is_tried_is_too_late(herald: Client, database: str) -> None:
    group, (tried, *others) = posted(herald, "ada", "bob", "eve")
    with connected(database) as connection:
        claim(connection, [Record(tried, 1)], lease=60)  # type: ignore[arg-type]
        connection.commit()

    answers = [herald.post(f"/groups/{group}/cancel", headers={"idempotency-key": "c"}) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == answers[1].json() == herald.get(f"/groups/{group}").json()
    assert [answer.headers.get("idempotency-replayed") for answer in answers] == [None, "true"]
    assert counts(herald, group) == {"sending": 1, "cancelled": 2}
    assert {herald.get(f"/messages/{one}").json()["status"] for one in others} == {"cancelled"}
    assert herald.get("/notifications?user_id=alone").json()["items"][0]["status"] == "pending"


def test_what_others_hold_of_a_group_is_told_once_the_rest_is_cancelled(herald: Client, database: str) -> None:
    group, (held, *_) = posted(herald, "ada", "bob", "eve")
    key: dict[str, Any] = {"headers": {"idempotency-key": "c"}}
    with connected(database) as other:
        fetch(other, "SELECT FROM messages WHERE id = %s FOR NO KEY UPDATE", held)

        refused = herald.post(f"/groups/{group}/cancel", **key)

        assert (refused.status_code, refused.headers["retry-after"]) == (409, "1")
        assert refused.json()["errors"] == [
            {"field": "id", "detail": "other transactions hold 1 of its messages; try again"}
        ]
        assert counts(herald, group) == {"pending": 1, "cancelled": 2}
        other.rollback()

    assert herald.post(f"/groups/{group}/cancel", **key).status_code == 200
    assert counts(herald, group) == {"cancelled": 3}


def test_what_is_held_for_a_moment_is_cancelled_by_the_same_request(
    herald: Client, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    group, (held, *_) = posted(herald, "ada", "bob")
    with connected(database) as other:
        fetch(other, "SELECT FROM messages WHERE id = %s FOR NO KEY UPDATE", held)

        def look_and_let_go(*arguments: Any, **named: Any) -> object:
            part = cancel_part(*arguments, **named)
            other.rollback()
            return part

        monkeypatch.setattr("herald.api.routes.groups.cancel_part", look_and_let_go)
        answer = herald.post(f"/groups/{group}/cancel")

    assert answer.status_code == 200
    assert answer.json()["counts"] == {**NONE_OF_ANY, "cancelled": 2}


def test_a_group_of_several_thousand_is_cancelled_by_one_request(herald: Client, database: str) -> None:
    group = posted(herald, *(f"user-{number}" for number in range(999)))[0]
    with connected(database) as connection:
        change(connection, "UPDATE messages SET group_id = %s WHERE key = 'alone'", group)
    for _ in range(2):
        other = posted(herald, *(f"user-{number}" for number in range(999)))[0]
        with connected(database) as connection:
            change(connection, "UPDATE messages SET group_id = %s WHERE group_id = %s", group, other)

    answer = herald.post(f"/groups/{group}/cancel")

    assert answer.json()["counts"] == {**NONE_OF_ANY, "cancelled": 2_998}
    with connected(database) as connection:
        transactions = "SELECT count(DISTINCT transaction_id) FROM outbox WHERE type = 'message.cancelled'"
        assert fetch_value(connection, transactions) == 3


def test_a_group_that_nobody_knows_is_not_found(herald: Client) -> None:
    unknown, key = new_id(), {"idempotency-key": "c"}
    alone = herald.post("/notifications", json={**SALE, "user_id": "ada"}).json()["id"]

    assert herald.get(f"/groups/{unknown}").status_code == 404
    assert herald.get(f"/groups/{alone}").status_code == 404
    assert [herald.post(f"/groups/{unknown}/cancel", headers=key).status_code for _ in range(2)] == [404, 404]
    assert herald.get("/groups/x").status_code == herald.post("/groups/x/cancel").status_code == 400
    assert herald.get("/notifications?group=x").json()["errors"][0]["field"] == "group"
