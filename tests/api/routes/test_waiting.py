"""`?wait`: a caller is answered when its message is over, on real PostgreSQL."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from uuid import UUID

import httpx
import pytest

from herald.api.http.ends import Ends
from herald.outbox.acceptance.committer import Committer
from herald.outbox.moves.claim import Record, claim
from herald.outbox.moves.record import Outcome, record_outcomes
from herald.outbox.postgres.driver import Connection
from herald.outbox.registry import DEAD_LETTERS
from tests.api.conftest import Client, make_settings
from tests.api.serving import serving
from tests.outbox.connections import connected
from tests.servers.eventually import eventually

GOOD = {"user_id": "1", "event": "e", "content": "c"}
KEYED = {"idempotency-key": "k"}


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    with connected(database) as connection:
        yield connection


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


@pytest.fixture
def is_waited_for(monkeypatch: pytest.MonkeyPatch) -> Callable[[], bool]:
    """Whether the database was asked for what somebody waits for."""
    asked: list[object] = []
    look = Ends.look

    def noted(self: Ends, ids: Any) -> Any:
        asked.append(ids)
        return look(self, ids)

    monkeypatch.setattr(Ends, "look", noted)
    return lambda: bool(asked)


def _end(connection: Connection, message: str, **outcome: Any) -> None:
    claim(connection, [Record(UUID(message), 1)], lease=60)
    record_outcomes(connection, [Outcome(id=UUID(message), attempt=1, **outcome)], dead_letters=DEAD_LETTERS)
    connection.commit()


def test_who_waits_is_answered_once_it_is_over(
    herald: Client, connection: Connection, pool: ThreadPoolExecutor, is_waited_for: Callable[[], bool]
) -> None:
    message = herald.post("/notifications", json=GOOD).json()["id"]
    answers = [pool.submit(herald.get, f"/{path}/{message}?wait=30") for path in ("notifications", "messages")]
    eventually(is_waited_for, 10, what="both wait")

    _end(connection, message, outcome="sent")

    assert [answer.result().json()["status"] for answer in answers] == ["sent", "sent"]


def test_who_waits_for_what_is_over_is_answered_at_once(herald: Client, connection: Connection) -> None:
    message = herald.post("/notifications", json=GOOD).json()["id"]
    _end(connection, message, outcome="sent")

    assert herald.get(f"/notifications/{message}?wait=30").json()["status"] == "sent"


def test_who_waits_in_vain_learns_how_it_stands(herald: Client) -> None:
    message = herald.post("/notifications", json=GOOD).json()["id"]

    assert herald.get(f"/notifications/{message}?wait=1").json()["status"] == "pending"


def test_nobody_waits_for_what_is_not_there(herald: Client) -> None:
    assert herald.get("/messages/0196f0de-0000-7000-8000-000000000000?wait=30").status_code == 404


@pytest.mark.parametrize(
    ("outcome", "ended"),
    [
        ({"outcome": "sent"}, {"status": "sent", "reason": None, "reason_code": None}),
        (
            {"outcome": "dead", "reason": "no such mailbox", "code": "refused"},
            {"status": "dead", "reason": "no such mailbox", "reason_code": "refused"},
        ),
    ],
)
def test_a_post_that_waits_is_answered_with_the_end(
    herald: Client,
    connection: Connection,
    pool: ThreadPoolExecutor,
    is_waited_for: Callable[[], bool],
    outcome: dict[str, Any],
    ended: dict[str, Any],
) -> None:
    waiting: Future[httpx.Response] = pool.submit(herald.post, "/notifications?wait=30", json=GOOD, headers=KEYED)
    eventually(is_waited_for, 10, what="it is committed and waits")
    (one,) = herald.get("/notifications").json()["items"]

    _end(connection, one["id"], **outcome)

    answer = waiting.result()
    assert (answer.status_code, answer.json()) == (200, {"id": one["id"], **ended})
    again = herald.post("/notifications?wait=30", json=GOOD, headers=KEYED)
    assert (again.status_code, again.json()) == (200, {"id": one["id"], **ended})
    assert again.headers["idempotency-replayed"] == "true"


def test_a_post_that_waits_in_vain_is_answered_as_any_other(herald: Client) -> None:
    answer = herald.post("/messages?wait=1", json={"topic": "generic_topic", "data": {}}, headers=KEYED)

    assert (answer.status_code, answer.json()["status"]) == (202, "pending")


@pytest.mark.parametrize(
    ("query", "field"), [("wait=0", "wait"), ("wait=31", "wait"), ("wait=soon", "wait"), ("wai=1", "wai")]
)
def test_a_wait_that_cannot_be_is_refused_and_nothing_is_accepted(herald: Client, query: str, field: str) -> None:
    answer = herald.post(f"/notifications?{query}", json=GOOD, headers=KEYED)

    assert (answer.status_code, [one["field"] for one in answer.json()["errors"]]) == (400, [field])
    assert herald.get("/notifications").json()["items"] == []


def test_a_post_waits_only_under_a_key(herald: Client) -> None:
    answer = herald.post("/notifications?wait=1", json=GOOD)

    assert (answer.status_code, [one["field"] for one in answer.json()["errors"]]) == (400, ["wait"])
    assert herald.get("/notifications").json()["items"] == []


def test_an_api_that_ends_answers_who_waits(
    database: str, pool: ThreadPoolExecutor, is_waited_for: Callable[[], bool]
) -> None:
    settings = make_settings(database)
    with serving(settings, Committer(settings)) as port:
        url = f"http://127.0.0.1:{port}/notifications?wait=30"
        waiting = pool.submit(httpx.post, url, json=GOOD, headers=KEYED, timeout=60)
        eventually(is_waited_for, 10, what="it waits")

    assert waiting.result(timeout=10).status_code == 202


def test_where_nobody_can_look_what_was_accepted_is_accepted_and_the_rest_an_error(
    herald: Client, connection: Connection, pool: ThreadPoolExecutor, is_waited_for: Callable[[], bool]
) -> None:
    message = herald.post("/notifications", json=GOOD).json()["id"]
    posting = pool.submit(herald.post, "/notifications?wait=30", json=GOOD, headers=KEYED)
    getting = pool.submit(herald.get, f"/notifications/{message}?wait=30")
    eventually(is_waited_for, 10, what="they wait")

    connection.cursor().execute("ALTER TABLE messages RENAME COLUMN reason_code TO renamed")
    connection.commit()

    assert posting.result().status_code == 202
    assert getting.result().status_code >= 500


def test_of_too_many_who_wait_the_next_is_answered_at_once(herald: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("herald.api.http.ends.MOST", 0)

    answer = herald.post("/notifications?wait=30", json=GOOD, headers=KEYED)

    assert answer.status_code == 202
