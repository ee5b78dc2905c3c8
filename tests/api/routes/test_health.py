"""Alive, ready, and what an outage looks like from outside."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic
from uuid import uuid4

import pytest
from httpx import Response

from herald.api.http.resources import STATE, Resources
from herald.outbox.postgres.statements import execute
from tests.api.conftest import Client, make_client
from tests.api.fakes import FakeCommitter
from tests.outbox.connections import connected, execute_and_commit
from tests.servers.eventually import eventually
from tests.servers.postgres import PostgresServer, connect_to_tables

GOOD = {"user_id": "1", "event": "e", "content": "c"}
CONNECT_TIMEOUT = 2.0  # seconds; libpq knows no shorter one


@pytest.fixture
def silent_server() -> Iterator[str]:
    """The URL of something that takes connections and never says a word, like a host that froze."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"postgresql://postgres@127.0.0.1:{listener.getsockname()[1]}/frozen"


def test_life_needs_no_database(client: Client) -> None:
    response = client.get("/health/live")

    assert (response.status_code, response.json()) == (200, {"status": "live"})


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/notifications", "/docs/openapi.json"])
def test_head_is_answered_as_get_is_without_a_body(herald: Client, path: str) -> None:
    head, get = herald.head(path), herald.get(path)

    assert (head.status_code, head.content) == (get.status_code, b"")
    assert head.headers["content-type"] == get.headers["content-type"]


def test_head_where_there_is_no_get_names_the_methods_there_are(client: Client) -> None:
    answer = client.head("/notifications/bulk")

    assert (answer.status_code, "POST" in answer.headers["allow"]) == (405, True)


def test_the_committer_runs_as_long_as_the_application(client: Client, committer: FakeCommitter) -> None:
    was_alive = committer.is_alive

    client.exit_stack.close()

    assert was_alive
    assert not committer.is_alive


def test_it_is_ready_when_database_and_committer_are(herald: Client) -> None:
    response = herald.get("/health/ready")

    assert (response.status_code, response.json()) == (200, {"status": "ready"})


def test_it_is_ready_though_every_connection_of_the_pool_is_in_use(database: str) -> None:
    with make_client(database, pool_size=1) as client:
        resources: Resources = client.app.state[STATE]
        with resources.engine.connect():
            response = client.get("/health/ready")

    assert (response.status_code, response.json()) == (200, {"status": "ready"})


def test_it_names_what_the_database_says_when_it_refuses(migrated_server: PostgresServer) -> None:
    migrated_server.execute("CREATE ROLE nobody LOGIN CONNECTION LIMIT 0")
    with make_client(migrated_server.url().replace("postgres@", "nobody@", 1)) as client:
        response = client.get("/health/ready")

    assert response.status_code == 503
    assert "the database refuses: too many connections for role" in response.json()["detail"]


def test_its_connection_is_replaced_when_it_was_cut(herald: Client, database: str) -> None:
    herald.get("/health/ready")
    with connected(database) as connection:
        execute_and_commit(
            connection,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name ~ 'readi'",
        )

    assert herald.get("/health/ready").status_code == 200


def test_lists_have_a_limit_of_their_own_that_leaves_room_for_everything_else(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, goes_on = threading.Event(), threading.Event()

    def slow(*_arguments: object, **_named: object) -> tuple[list[object], bool]:
        begun.set()
        goes_on.wait(10)
        return [], False

    monkeypatch.setattr("herald.api.routes.notifications.list_notifications", slow)
    monkeypatch.setattr("herald.api.http.resources.PATIENCE", 0.1)
    with make_client(database, readers=1, pool_size=2) as client, ThreadPoolExecutor() as callers:
        first = callers.submit(client.get, "/notifications")
        begun.wait(10)
        others = [client.get(path) for path in ("/notifications", "/dead-letters", "/dead-letters/groups")]
        looked = client.get(f"/notifications/{uuid4()}")
        goes_on.set()

        assert [(one.status_code, "retry-after" in one.headers) for one in others] == [(503, True)] * 3
        assert (looked.status_code, first.result().status_code) == (404, 200)


def test_it_is_not_ready_without_a_database(client: Client) -> None:
    response = client.get("/health/ready")

    assert response.status_code == 503
    assert "the database does not answer" in response.json()["detail"]


def test_it_is_not_ready_without_its_committer(client: Client, committer: FakeCommitter) -> None:
    committer.stop()

    response = client.get("/health/ready")

    assert response.status_code == 503
    assert "the committer is not running" in response.json()["detail"]


def test_it_is_not_ready_while_a_process_keeps_ending(database: str, tmp_path: Path) -> None:
    report = tmp_path / "troubled"
    report.write_text("relay")

    with make_client(database, supervision=report) as client:
        troubled = client.get("/health/ready")
        report.write_text("")
        well = client.get("/health/ready")

    assert (troubled.status_code, well.status_code) == (503, 200)
    assert "relay keeps ending" in troubled.json()["detail"]


def test_it_is_not_ready_before_the_migration(empty_database: str) -> None:
    with make_client(empty_database) as client:
        response = client.get("/health/ready")

    assert response.status_code == 503
    assert "herald migrate" in response.json()["detail"]


def test_an_outage_is_answered_with_try_again_and_survived(migrated_server: PostgresServer) -> None:
    with make_client(migrated_server.url()) as client:
        notification_id = client.post("/notifications", json=GOOD).json()["id"]
        path = f"/notifications/{notification_id}"
        assert client.get(path).status_code == 200

        migrated_server.stop()
        answers = [client.post("/notifications", json=GOOD), client.get(path), client.get("/health/ready")]
        migrated_server.start()

        assert [answer.status_code for answer in answers] == [503, 503, 503]
        assert all(int(answer.headers["retry-after"]) > 0 for answer in answers)
        eventually(
            lambda: client.post("/notifications", json=GOOD).status_code == 202, what="a notification is accepted"
        )
        assert client.get(path).status_code == 200
        assert client.get("/health/ready").status_code == 200


def test_a_frozen_database_is_given_up_within_the_connect_timeout(silent_server: str) -> None:
    with make_client(silent_server, connect_timeout=CONNECT_TIMEOUT) as client:
        post, post_took = _timed(lambda: client.post("/notifications", json=GOOD))
        listing, listing_took = _timed(lambda: client.get("/notifications"))
        ready, ready_took = _timed(lambda: client.get("/health/ready"))

    assert (post.status_code, listing.status_code, ready.status_code) == (503, 503, 503)
    assert max(post_took, listing_took, ready_took) < CONNECT_TIMEOUT + 1


def test_a_read_that_takes_too_long_is_given_up(database: str) -> None:
    with (
        contextlib.closing(connect_to_tables(database)) as other,
        make_client(database, statement_timeout=0.2) as client,
    ):
        execute(other, "LOCK TABLE messages")
        response = client.get("/notifications")

    assert response.status_code == 503
    assert "too long" in response.json()["detail"]


def _timed(ask: Callable[[], Response]) -> tuple[Response, float]:
    began = monotonic()
    response = ask()
    return response, monotonic() - began
