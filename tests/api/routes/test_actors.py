"""Events say who asked."""

from collections.abc import Iterator
from uuid import UUID

import pytest

from herald.outbox.desk.jobs import step
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.log import read_stream
from herald.outbox.postgres.statements import fetch_value
from tests.api.keys import GOOD, Locked, locked
from tests.outbox.connections import accepted, notification
from tests.outbox.desk.conftest import Bury, bury, connection
from tests.servers.eventually import eventually

__all__ = ["bury", "connection"]  # fixtures of the desk


@pytest.fixture
def api(database: str) -> Iterator[Locked]:
    with locked(database) as api:
        yield api


def _last(connection: Connection, message: UUID | str, count: int = 1) -> list[tuple[str, str | None]]:
    connection.rollback()
    events = [one.event for one in read_stream(connection, UUID(str(message)))][-count:]
    return [(one.TYPE.removeprefix("message."), getattr(one, "actor", None)) for one in events]


def test_what_is_accepted_and_cancelled_names_the_key(api: Locked, connection: Connection) -> None:
    shop, other = api.good_key("shop", "send"), api.good_key("other", "send", owner="shop")
    one = api.post(shop).json()["id"]
    (many,) = api.answer("POST", "/notifications/bulk", shop, json={"items": [GOOD]}).json()["items"]
    message = api.answer("POST", "/messages", shop, json={"topic": "generic_topic", "data": {}}).json()["id"]

    assert api.ask("POST", f"/notifications/{one}/cancel", shop) == 200
    assert api.ask("POST", f"/messages/{message}/cancel", other) == 200

    assert _last(connection, one, 2) == [("requested", "key:shop"), ("cancelled", "key:shop")]
    assert _last(connection, many["id"]) == [("requested", "key:shop")]
    assert _last(connection, message, 2) == [("requested", "key:shop"), ("cancelled", "key:other")]


def test_a_key_moves_what_keys_of_its_owner_sent_also_one_that_is_good_no_more(api: Locked) -> None:
    shop, till = api.good_key("shop", "send"), api.good_key("till", "send", owner="shop")
    other, desk = api.good_key("other", "send"), api.good_key("desk", "decide")
    one, again = (api.post(shop).json()["id"] for _ in range(2))
    body = {"items": [{"user_ids": ["1", "2"], "event": "e", "content": "c"}]}
    group = api.answer("POST", "/notifications/bulk", shop, json=body).json()["items"][0]["group"]
    api.revoke("shop")
    moves = [f"/notifications/{one}/cancel", f"/messages/{one}/again", f"/groups/{group}/cancel"]

    refused = [api.ask("POST", move, other) for move in moves]
    taken = [api.ask("POST", move, till) for move in moves]

    assert (refused, taken) == ([404, 404, 404], [200, 202, 200])
    assert api.ask("POST", f"/messages/{again}/cancel", other) == 404
    assert api.ask("POST", f"/messages/{again}/cancel", desk) == 200


def test_what_no_key_sent_is_moved_by_who_decides_and_nobody_else(api: Locked, connection: Connection) -> None:
    shop, desk = api.good_key("shop", "send"), api.good_key("desk", "decide")
    message = accepted(connection, notification())[0]

    assert api.ask("POST", f"/messages/{message}/cancel", shop) == 404
    assert api.ask("POST", f"/messages/{message}/cancel", desk) == 200


def test_a_pause_names_the_key_and_then_the_one_that_gives_another_reason(api: Locked) -> None:
    first, second = api.good_key("first", "operate", "read"), api.good_key("second", "operate")

    paused = [
        api.answer("PUT", "/pauses/all", key, json=body).json()["actor"]
        for key, body in ((first, {"reason": "a flood"}), (second, {}), (second, {"reason": "another"}))
    ]

    assert paused == ["key:first", "key:first", "key:second"]
    assert [one["actor"] for one in api.answer("GET", "/pauses", first).json()["items"]] == ["key:second"]


def test_a_decision_about_one_names_the_key(api: Locked, connection: Connection, bury: Bury) -> None:
    key, (again, edited, gone) = api.good_key("desk", "decide"), bury(count=3)

    assert api.ask("POST", f"/dead-letters/{again}/requeue", key) == 202
    assert api.ask("POST", f"/dead-letters/{edited}/requeue", key, json={"data": GOOD}) == 202
    assert api.ask("POST", f"/dead-letters/{gone}/discard", key, json={"reason": "r"}) == 200

    assert _last(connection, again) == [("requested", "key:desk")]
    assert fetch_value(connection, "SELECT actor FROM messages WHERE id = %s", str(again)) is None  # who accepted it
    assert _last(connection, edited, 2) == [("edited", "key:desk"), ("requested", "key:desk")]
    assert _last(connection, gone) == [("discarded", "key:desk")]


def test_a_decision_about_many_names_the_key_whoever_carries_it_out(
    api: Locked, connection: Connection, bury: Bury
) -> None:
    key, (again,) = api.good_key("desk", "decide"), bury("HTTP 500")
    (gone,) = bury("HTTP 410")
    chosen = {"filter": {"error": "HTTP 500"}, "dry_run": False}
    job = api.answer("POST", "/dead-letters/requeues", key, json=chosen).json()
    discarded = {"filter": {"error": "HTTP 410"}, "dry_run": False, "reason": "r"}
    assert api.answer("POST", "/dead-letters/discards", key, json=discarded).json()["discarded"] == 1

    eventually(lambda: step(connection), what="the job requeues it")
    connection.commit()

    assert job["actor"] == "key:desk"
    assert _last(connection, again) == [("requested", "key:desk")]
    assert _last(connection, gone) == [("discarded", "key:desk")]
