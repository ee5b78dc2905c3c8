"""Dates on the whole system: delivered when asked, cancelled or sent but never both, expired and said so."""

import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch
from tests.proof.end_to_end.system import SETTLED, STARTED, Herald, show, statuses
from tests.servers.eventually import eventually

MANY = 1_000
CALLERS = 16
_DELIVERED = re.compile(r'"id": "([0-9a-f-]{36})"')


def test_a_message_for_later_is_delivered_within_a_second_of_its_date(herald: Herald, connection: Connection) -> None:
    herald.start_and_deliver()

    posted = [herald.post_notification(f"user-{number}", deliver_at=in_seconds(2)) for number in range(20)]

    eventually(lambda: {herald.look(one)["status"] for one in posted} == {"sent"}, STARTED)
    query = (
        "SELECT extract(epoch FROM sent_at - (data ->> 'deliver_at')::timestamptz)::float,"
        " extract(epoch FROM sent_at - accepted_at)::float FROM messages AS m JOIN outbox AS o"
        " ON o.stream_id = m.id AND o.version = m.data_version WHERE data ->> 'deliver_at' IS NOT NULL"
    )
    late, taken = zip(*fetch(connection, query), strict=True)
    show(
        f"sent {min(late):.3f} to {max(late):.3f} s after deliver_at, {min(taken):.3f} to {max(taken):.3f} s after 202"
    )
    assert min(late) >= 0
    assert max(late) < 1
    herald.assert_projection_equals_log()


@pytest.mark.proof
def test_of_a_thousand_cancels_at_the_due_second_each_message_is_sent_or_cancelled(
    herald: Herald, connection: Connection
) -> None:
    herald.start_and_deliver()
    due = datetime.now(UTC) + timedelta(seconds=3)
    users = [f"user-{number}" for number in range(MANY)]
    item = {"user_ids": users, "event": "reminder", "content": "now", "deliver_at": due.isoformat()}
    accepted = herald.client.post("/notifications/bulk", json={"items": [item]}).raise_for_status().json()
    messages = [one["id"] for one in accepted["items"]]
    eventually(lambda: datetime.now(UTC) > due - timedelta(seconds=0.1), 5)

    with ThreadPoolExecutor(CALLERS) as callers:
        answers = dict(zip(messages, callers.map(lambda one: cancel(herald, one), messages), strict=True))

    eventually(lambda: set(statuses(connection)) <= {"sent", "cancelled"}, SETTLED)
    ended: dict[str, str] = dict(
        fetch(connection, "SELECT id::text, status FROM messages WHERE id = ANY (%s::uuid[])", messages)
    )
    delivered = Counter(_DELIVERED.findall(herald.processes["pipeline"].output()))
    assert {one for one, code in answers.items() if code == 200} == {
        one for one, status in ended.items() if status == "cancelled"
    }
    assert {one for one, code in answers.items() if code == 409} == {
        one for one, status in ended.items() if status == "sent"
    }
    assert {one: delivered[one] for one in messages} == {one: int(ended[one] == "sent") for one in messages}
    show(f"of {MANY}: {dict(Counter(ended.values()))}")
    herald.assert_projection_equals_log()


def test_what_was_not_delivered_in_time_is_reported_as_expired(herald: Herald) -> None:
    herald.start_and_deliver()
    assert herald.stop("pipeline") == 0

    posted = herald.post_notification(deliver_by=in_seconds(0.5))
    eventually(lambda: herald.look(posted)["status"] == "expired", STARTED)
    herald.start("pipeline")

    other = herald.post_notification()
    eventually(lambda: herald.look(other)["status"] == "sent", STARTED)
    assert [event["type"] for event in herald.get(f"/notifications/{posted}/events")["items"]] == [
        "message.requested",
        "message.expired",
    ]


def in_seconds(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def cancel(herald: Herald, message: str) -> int:
    return herald.client.post(f"/notifications/{message}/cancel").status_code
