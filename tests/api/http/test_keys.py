"""What a key is good for, and for how long."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Event

import pytest

from herald.api.http.gate import STALE
from herald.outbox.acceptance.api_keys import read_keys, rotate_key
from herald.outbox.postgres.connections import connect
from herald.outbox.postgres.statements import execute, fetch_column
from tests.api.conftest import Client
from tests.api.keys import GOOD, Locked, locked
from tests.api.serving import Caller, status_of
from tests.conftest import StartHerald
from tests.servers.eventually import eventually
from tests.servers.ports import free_port
from tests.servers.postgres import PostgresServer, connect_to_tables

BODY = b'{"user_id":"1","event":"e","content":"c"}'
MESSAGE = {"topic": "generic_topic", "data": {"a": 1}}


@pytest.fixture
def api(database: str) -> Iterator[Locked]:
    with locked(database) as api:
        yield api


def _head(key: str, length: int = len(BODY)) -> bytes:
    lines = ["POST /notifications HTTP/1.1", "Host: x", "Content-Type: application/json"]
    return "\r\n".join([*lines, f"Authorization: Bearer {key}", f"Content-Length: {length}", "", ""]).encode()


def test_without_any_key_nobody_is_served_and_the_answer_says_what_to_do(api: Locked) -> None:
    answer = api.post()

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "herald keys create" in answer.json()["detail"]


@pytest.mark.parametrize("form", ["bearer {}", "BEARER {}", "Bearer  {}"])
def test_a_key_is_taken_as_clients_write_it(api: Locked, form: str) -> None:
    key = api.good_key("shop", "send")

    assert api.post(headers={"authorization": form.format(key)}).status_code == 202


@pytest.mark.parametrize("form", ["{}", "Basic {}", "Bearer {}x", "Bearer", "Bearer {}, Bearer {}"])
def test_another_form_is_no_key(api: Locked, form: str) -> None:
    key = api.good_key("shop", "send")

    assert api.post(headers={"authorization": form.format(key, key)}).status_code == 401


def test_a_revoked_key_is_taken_for_a_second_at_most(api: Locked) -> None:
    key = api.good_key("shop", "send")

    api.revoke("shop")
    revoked_at = time.monotonic()

    eventually(lambda: time.monotonic() - revoked_at > STALE)

    assert api.once("POST", "/notifications", key, json=GOOD).status_code in {401, 503}
    eventually(lambda: api.post(key).json()["detail"] == "the key shop was revoked", what="the answer says why")


def test_a_key_ends_with_its_time(api: Locked) -> None:
    key = api.key("shop", "send", lifetime=1.5)
    eventually(lambda: api.post(key).status_code == 202, what="it is good")

    eventually(lambda: api.post(key).status_code == 401, what="it has expired")


def test_a_key_that_is_revoked_while_its_body_comes_has_sent_nothing(api: Locked) -> None:
    key = api.good_key("shop", "send")
    with Caller(api.port) as caller:
        caller.sendall(_head(key) + BODY[:-1])
        eventually(lambda: api.post(key).status_code == 202)
        api.revoke("shop")
        eventually(lambda: api.post(key).status_code == 401)

        caller.sendall(BODY[-1:])

        assert status_of(caller.read_head()) == 401


def test_a_process_that_was_frozen_honours_no_key_that_was_revoked_meanwhile(
    database: str, start_herald: StartHerald
) -> None:
    port = free_port()
    api = Locked(database, port)
    key = api.key("shop", "send")
    process = start_herald("api", DATABASE_URL=database, HERALD_PORT=str(port), HERALD_OPEN="no")
    process.wait_for("Uvicorn running", 60)
    eventually(lambda: api.post(key).status_code == 202, what="the key is known")
    with Caller(port) as caller, closing(api):
        process.pause()
        revoked_at = time.monotonic()
        api.revoke("shop")
        caller.sendall(_head(key) + BODY)
        eventually(lambda: time.monotonic() - revoked_at > STALE)

        process.resume()

        assert status_of(caller.read_head()) in {401, 503}
        eventually(lambda: api.post(key).status_code == 401, what="it has read the keys")


def test_who_cannot_read_the_keys_lets_nobody_in(migrated_server: PostgresServer) -> None:
    with locked(migrated_server.url()) as api:
        key, asked = api.good_key("shop", "send"), ("POST", "/messages/x/cancel")  # which asks the database for nothing
        assert api.ask(*asked, key) == 400

        migrated_server.freeze()

        eventually(lambda: "keys cannot be read" in api.once(*asked, key).text, what="nobody is let in")
        answer = api.once(*asked, key)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert api.once(*asked, "hk_wrong").status_code == 503
        migrated_server.thaw()
        eventually(lambda: api.ask(*asked, key) == 400, what="the keys are read again")


def test_guessing_slows_nobody_with_a_key(api: Locked) -> None:
    key, is_over = api.good_key("shop", "send"), Event()
    wrong = key[:-4] + "0000"

    def guess() -> int:
        count = 0
        with closing(Locked(api.settings.database_url, api.port)) as other:
            while not is_over.is_set():
                assert other.post(wrong).status_code == 401
                count += 1
        return count

    with ThreadPoolExecutor(2) as pool:
        guessing = [pool.submit(guess) for _ in range(2)]
        slowest = 0.0
        for _ in range(50):
            began = time.monotonic()
            assert api.post(key).status_code == 202
            slowest = max(slowest, time.monotonic() - began)
        is_over.set()

    assert sum(one.result() for one in guessing) > 50
    assert slowest < 1.0


def test_an_idempotency_key_belongs_to_the_owner_whose_successors_keep_it(api: Locked) -> None:
    once = {"idempotency-key": "1"}
    key, other = api.good_key("shop", "send"), api.good_key("else", "send")
    first = api.post(key, headers=once).json()["id"]
    with closing(connect(api.settings, "tests")) as connection, connection:
        successor = rotate_key(connection, "shop", overlap=60, lifetime=None)
    eventually(lambda: api.post(successor).status_code == 202)

    assert api.post(successor, headers=once).json()["id"] == api.post(key, headers=once).json()["id"] == first
    assert api.post(other, headers=once).json()["id"] != first


def test_a_key_for_one_topic_is_for_no_other(api: Locked) -> None:
    key, everything = api.good_key("one", "send", "read", topics=["generic_topic"]), api.good_key("all", "send")
    own = api.answer("POST", "/messages", key, json=MESSAGE).json()["id"]
    foreign = api.post(everything).json()["id"]

    assert api.ask("GET", f"/messages/{own}", key) == 200
    assert api.ask("GET", f"/messages/{foreign}", key) == 404
    assert api.post(key).status_code == 403
    assert api.ask("POST", "/notifications/bulk", key, json={"items": [GOOD]}) == 403
    assert api.ask("POST", "/messages", key, json={"topic": "notifications", "data": GOOD}) == 403
    for path in ("/notifications", f"/notifications/{foreign}", "/dead-letters", "/dead-letters/groups"):
        assert api.ask("GET", path, key) == 403
    assert api.ask("GET", "/dead-letters", key, params={"topic": "generic_topic"}) == 200


def test_contents_are_shown_to_whom_they_are_for(api: Locked) -> None:
    sends, reads = api.good_key("sends", "send"), api.good_key("reads", "read")
    sees = api.good_key("sees", "read:content")
    letter = api.post(sends).json()["id"]
    message = api.answer("POST", "/messages", sends, json=MESSAGE).json()["id"]

    def carried(key: str) -> list[object]:
        found = api.answer("GET", f"/notifications/{letter}", key).json()
        (listed,) = api.answer("GET", "/notifications", key).json()["items"]
        (event,) = api.answer("GET", f"/notifications/{letter}/events", key).json()["items"]
        data = api.answer("GET", f"/messages/{message}", key).json()["data"]
        assert found["status"] == listed["status"] == "pending"
        return [found["content"], listed["content"], event["data"].get("data"), data]

    assert carried(reads) == [None] * 4
    assert carried(sees) == ["c", "c", GOOD, {"a": 1}]


def test_when_a_key_was_used_is_noted(api: Locked) -> None:
    api.good_key("shop", "send")
    api.key("unused", "send")

    def used() -> dict[str, bool]:
        with closing(connect_to_tables(api.settings.database_url)) as connection:
            return {one.name: one.last_used_at is not None for one in read_keys(connection, uses=True)}

    eventually(lambda: used() == {"shop": True, "unused": False})


def test_a_use_that_cannot_be_noted_keeps_nobody_out(api: Locked) -> None:
    session = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE '%keys'"
    key = api.key("shop", "send")
    with closing(connect_to_tables(api.settings.database_url)) as other:
        execute(other, "LOCK TABLE api_key_uses IN ACCESS EXCLUSIVE MODE")
        reader = fetch_column(other, session)
        eventually(lambda: api.post(key).status_code == 202, what="it is used")
        used_at = time.monotonic()

        eventually(lambda: time.monotonic() - used_at > 2)

        assert fetch_column(other, session) == reader
        assert api.post(key).status_code == 202


def test_a_probe_learns_nothing_but_whether(migrated_server: PostgresServer) -> None:
    with locked(migrated_server.url()) as api:
        migrated_server.stop()

        answer = api.once("GET", "/health/ready")

        assert answer.status_code == 503
        assert answer.json()["detail"] == "not ready: the log says why"


@pytest.mark.parametrize(
    "host", ["rebound.example", "rebound.example:8000", "localhost.rebound.example", "127.0.0.1.x"]
)
def test_an_open_service_is_no_page_of_somebody_elses_name(client: Client, host: str) -> None:
    answer = client.get("/health/live", headers={"host": host})

    assert answer.status_code == 403
    assert "HERALD_OPEN" in answer.json()["detail"]


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:8000", "[::1]:8000", "192.0.2.7", ""])
def test_an_open_service_is_served_by_its_address(client: Client, host: str) -> None:
    assert client.get("/health/live", headers={"host": host}).status_code == 200
