"""What a caller sees: accepted, delivered, shown as sent. One Herald on each broker, for all of these tests."""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any
from uuid import uuid4

import pytest

from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch, fetch_column
from tests.conftest import FAILED, KAFKA, made_database, show_logs
from tests.outbox.connections import connected
from tests.proof.end_to_end.conftest import QUICK
from tests.proof.end_to_end.system import Herald, unsent
from tests.servers.eventually import eventually
from tests.servers.herald import HeraldProcess
from tests.servers.postgres import PostgresServer
from tests.servers.tansu import Tansu

HISTORY = [(1, "message.requested"), (2, "message.started"), (3, "message.sent")]


@pytest.fixture(scope="module", params=["tansu", KAFKA])
def working(
    request: pytest.FixtureRequest,
    server: PostgresServer,
    migrated_template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Herald]:
    """It has delivered, its window ends long after everything, and nobody stops its processes."""
    folder = tmp_path_factory.mktemp("herald")
    with ExitStack() as stack:
        database = stack.enter_context(made_database(server, migrated_template))
        if request.param == "kafka":
            broker = request.getfixturevalue("apache_kafka")
            broker.wipe()
        else:
            broker = stack.enter_context(Tansu(folder))

        def start(role: str, **settings: str) -> HeraldProcess:
            process = HeraldProcess(role, folder=folder, settings=settings)
            stack.callback(process.kill)
            process.start()
            return process

        servers = {"DATABASE_URL": database, "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers}
        said = {"HERALD_GROUP": f"herald-{uuid4().hex[:8]}", "HERALD_WINDOW_SECONDS": "60"}
        herald = Herald(start, {**QUICK, **servers, **said})
        stack.enter_context(closing(herald.client))
        herald.start_and_deliver()
        yield herald


@pytest.fixture
def herald(working: Herald, request: pytest.FixtureRequest) -> Iterator[Herald]:
    """When the test fails, the end of each log is shown."""
    yield working
    if request.node.stash[FAILED]:
        show_logs(working.processes.values())


@pytest.fixture
def connection(working: Herald) -> Iterator[Connection]:
    """In autocommit: every look is a new one."""
    with connected(working.settings["DATABASE_URL"]) as connection:
        connection.autocommit = True
        yield connection


def test_an_accepted_notification_is_delivered_and_shows_its_history(herald: Herald) -> None:
    posted = herald.post_notification("ada", "the first program")

    found = eventually(lambda: sent(herald, f"/notifications/{posted}"))
    assert (found["user_id"], found["content"], found["attempts"], found["reason"]) == (
        "ada",
        "the first program",
        1,
        None,
    )
    assert found["created_at"] < found["sent_at"] <= found["updated_at"]
    events = herald.get(f"/notifications/{posted}/events")["items"]
    assert [(event["version"], event["type"]) for event in events] == HISTORY
    herald.processes["pipeline"].wait_for(posted)
    assert herald.assert_projection_equals_log() >= 2


def test_a_message_of_any_topic_is_delivered_as_it_came(herald: Herald) -> None:
    posted = herald.post_message({"order": 7, "price": 1.5, "text": "Grüße 🎉"}, key="orders")

    found = eventually(lambda: sent(herald, f"/messages/{posted}"))
    assert (found["topic"], found["key"], found["attempts"], found["request"]) == ("generic_topic", "orders", 1, 1)
    assert found["data"] == {"order": 7, "price": 1.5, "text": "Grüße 🎉"}
    herald.processes["pipeline"].wait_for("generic_event_received")
    herald.assert_projection_equals_log()


def test_a_lone_notification_on_an_idle_system_does_not_wait_for_the_window(herald: Herald) -> None:
    posted = herald.post_notification()

    assert eventually(
        lambda: sent(herald, f"/notifications/{posted}"), 5, what="it is sent long before the window ends"
    )


def test_many_notifications_of_one_bulk_request_are_all_delivered(herald: Herald, connection: Connection) -> None:
    users = [f"user-{number}" for number in range(200)]

    answer = herald.client.post(
        "/notifications/bulk", json={"items": [{"user_ids": users, "event": "news", "content": "for all"}]}
    )

    assert answer.status_code == 202, answer.text
    assert answer.json()["count"] == 200
    eventually(lambda: herald.get("/notifications?event=news&status=sent&limit=1")["items"])
    rows = "SELECT count(*) FROM notifications WHERE event = 'news' AND sent_status"
    eventually(lambda: count(connection, rows) == 200)
    herald.assert_projection_equals_log()


@pytest.mark.parametrize("topic", ["notifications", "generic_topic"])
def test_the_messages_of_one_key_are_first_attempted_in_the_order_of_their_answers(
    herald: Herald, connection: Connection, topic: str
) -> None:
    posts = {
        "notifications": lambda: herald.post_notification("eve"),
        "generic_topic": lambda: herald.post_message({"n": 1}, key="eve"),
    }

    posted = [posts[topic]() for _ in range(60)]

    attempts = "SELECT stream_id::text FROM outbox WHERE type = 'message.started' ORDER BY position"
    eventually(lambda: unsent(connection, posted) == [])
    assert [stream for stream in fetch_column(connection, attempts) if stream in posted] == posted


def sent(herald: Herald, path: str) -> dict[str, Any]:
    """What the API shows, once it shows it as sent."""
    found = herald.get(path)
    assert found["status"] == "sent", found
    return found


def count(connection: Connection, query: str) -> int:
    ((found,),) = fetch(connection, query)
    return int(found)


def test_who_waits_is_answered_once_it_was_delivered(working: Herald) -> None:
    body = {"user_id": "1", "event": "e", "content": "c"}

    answer = working.client.post("/notifications?wait=30", json=body, headers={"idempotency-key": uuid4().hex})

    assert (answer.status_code, answer.json()["status"]) == (200, "sent")
