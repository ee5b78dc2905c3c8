"""What a caller sees: accepted, delivered, shown as sent."""

from typing import Any

import pytest

from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch, fetch_column
from tests.proof.end_to_end.system import Herald, MakeHerald
from tests.servers.eventually import eventually

HISTORY = [(1, "message.requested"), (2, "message.started"), (3, "message.sent")]


def test_an_accepted_notification_is_delivered_and_shows_its_history(herald: Herald) -> None:
    herald.start_and_deliver()

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
    assert herald.assert_projection_equals_log() == 2


def test_a_message_of_any_topic_is_delivered_as_it_came(herald: Herald) -> None:
    herald.start_and_deliver()

    posted = herald.post_message({"order": 7, "price": 1.5, "text": "Grüße 🎉"}, key="orders")

    found = eventually(lambda: sent(herald, f"/messages/{posted}"))
    assert (found["topic"], found["key"], found["attempts"], found["request"]) == ("generic_topic", "orders", 1, 1)
    assert found["data"] == {"order": 7, "price": 1.5, "text": "Grüße 🎉"}
    herald.processes["pipeline"].wait_for("generic_event_received")
    herald.assert_projection_equals_log()


def test_a_lone_notification_on_an_idle_system_does_not_wait_for_the_window(make_herald: MakeHerald) -> None:
    herald = make_herald(HERALD_WINDOW_SECONDS="60")
    herald.start_and_deliver()

    posted = herald.post_notification()

    assert eventually(
        lambda: sent(herald, f"/notifications/{posted}"), 5, what="it is sent long before the window ends"
    )


def test_many_notifications_of_one_bulk_request_are_all_delivered(herald: Herald, connection: Connection) -> None:
    herald.start_and_deliver()
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
    herald.start_and_deliver()
    posts = {
        "notifications": lambda: herald.post_notification("eve"),
        "generic_topic": lambda: herald.post_message({"n": 1}, key="eve"),
    }

    posted = [posts[topic]() for _ in range(60)]

    attempts = "SELECT stream_id::text FROM outbox WHERE type = 'message.started' ORDER BY position"
    eventually(lambda: count(connection, "SELECT count(*) FROM messages WHERE status = 'sent'") == 61)
    assert [stream for stream in fetch_column(connection, attempts) if stream in posted] == posted


def sent(herald: Herald, path: str) -> dict[str, Any]:
    """What the API shows, once it shows it as sent."""
    found = herald.get(path)
    assert found["status"] == "sent", found
    return found


def count(connection: Connection, query: str) -> int:
    ((found,),) = fetch(connection, query)
    return int(found)
