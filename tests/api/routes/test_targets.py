"""Channels, addresses and dates: what could not be delivered, or not kept, is refused at once with its field."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from herald.outbox.settings import Route
from tests.api.conftest import Client, make_client
from tests.pipeline.records import new_id

GOOD = {"user_id": "1", "event": "e", "content": "c"}
SECRETS = {"hooks.example.com": ["whsec_bmV3IHNlY3JldCBvZiB0aGUgdGVzdHM="]}
SET_UP = {
    "webhook_secrets": SECRETS,
    "smtp_host": "mail.example.com",
    "email_from": "herald@example.com",
    "apprise_urls": {"team": "json://example.com"},
}


def refused(client: Client, **fields: Any) -> tuple[str, str]:
    answer = client.post("/notifications", json={**GOOD, **fields})
    assert answer.status_code == 400, answer.text
    (error,) = answer.json()["errors"]
    return error["field"], error["detail"]


def date(**ahead: float) -> str:
    return (datetime.now(UTC) + timedelta(**ahead)).isoformat()


@pytest.mark.parametrize(
    ("fields", "field", "text"),
    [
        ({"channel": "pigeon"}, "channel", "no such channel: pigeon; registered: log, webhook, email, apprise"),
        ({"channel": "email"}, "address", "is required by the channel email"),
        ({"channel": "email", "address": "a@example.com, b@evil.example"}, "address", ""),
        ({"channel": "email", "address": "nobody"}, "address", ""),
        ({"channel": "webhook", "address": "ftp://hooks.example.com"}, "address", "must begin with https://"),
        ({"channel": "webhook", "address": "https://other.example.com/"}, "address", "HERALD_WEBHOOK_SECRETS has no"),
        ({"channel": "apprise", "address": "json://evil.example"}, "address", "it is no URL"),
        ({"channel": "apprise", "address": "nobody"}, "address", "no destination is named nobody; there are: team"),
        ({"address": "x" * 2049}, "address", "2048"),
        ({"subject": ""}, "subject", ">= 1"),
        ({"subject": "Order\t42 shipped"}, "subject", "here U+0009"),
        ({"subject": "=?UTF-8?Q?=0A?=Bcc: x@example.com"}, "subject", "here U+000A"),
        (
            {"channel": "email", "address": "a@example.com", "event": "order\tshipped"},
            "event",
            "no control characters, here U+0009",
        ),
        ({"deliver_at": "2026-12-01T10:00:00+23:59"}, "deliver_at", "is +2359 off UTC"),
        ({"deliver_by": "2026-12-01T10:00:00-16:00"}, "deliver_by", "is -1600 off UTC"),
        ({"deliver_at": "0001-01-01T00:00:00+05:00"}, "deliver_at", "years 1 to 9999"),
        ({"deliver_at": date(days=400)}, "deliver_at", "more than 366 days ahead"),
        ({"deliver_by": date(days=-1)}, "deliver_by", "has passed already"),
        ({"deliver_at": date(days=2), "deliver_by": date(days=1)}, "deliver_by", "must come after deliver_at"),
        ({"deliver_at": "2027-01-01T00:00:00"}, "deliver_at", "timezone"),
        ({"deliver_at": "tomorrow"}, "deliver_at", "Invalid RFC3339"),
        ({"priority": 10}, "priority", "<= 9"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_its_field(
    database: str, fields: dict[str, Any], field: str, text: str
) -> None:
    with make_client(database, **SET_UP) as client:
        found, detail = refused(client, **fields)

    assert found == field
    assert text in detail


@pytest.mark.parametrize(
    ("channel", "setting"),
    [
        ("webhook", "HERALD_WEBHOOK_SECRETS"),
        ("email", "HERALD_SMTP_HOST and HERALD_EMAIL_FROM"),
        ("apprise", "HERALD_APPRISE_URLS"),
    ],
)
def test_a_channel_that_is_not_set_up_names_its_setting(herald: Client, channel: str, setting: str) -> None:
    assert refused(herald, channel=channel, address="x") == ("channel", f"{channel} is not set up here: {setting}")


@pytest.mark.parametrize(
    "fields",
    [
        {"channel": "email", "address": "Ada <ada@example.com>", "subject": "Grüße"},
        {"channel": "webhook", "address": "https://hooks.example.com/a?b=c"},
        {"channel": "apprise", "address": "team"},
        {"deliver_at": date(days=1), "deliver_by": date(days=2), "priority": 0},
    ],
)
def test_what_can_be_kept_is_accepted_and_shown(database: str, fields: dict[str, Any]) -> None:
    with make_client(database, **SET_UP) as client:
        answer = client.post("/notifications", json={**GOOD, **fields})
        found = client.get(f"/notifications/{answer.json()['id']}").json()

    assert answer.status_code == 202
    assert answer.json()["status"] == found["status"] == ("scheduled" if "deliver_at" in fields else "pending")
    assert found["address"] == fields.get("address")
    assert found["priority"] == fields.get("priority", 5)


@pytest.mark.parametrize("ahead", [{"days": -1}, {"days": 1}])
@pytest.mark.parametrize("key", [{}, {"idempotency-key": "k"}])
def test_the_answer_says_what_is_stored_whether_the_date_has_passed_or_not(
    database: str, ahead: dict[str, float], key: dict[str, str]
) -> None:
    with make_client(database) as client:
        body = {"items": [{**GOOD, "deliver_at": date(**ahead)}]}
        answers = [client.post("/notifications/bulk", json=body, headers=key) for _ in range(2)]
        (shown,) = {answer.json()["items"][0]["status"] for answer in answers}
        found = client.get(f"/notifications/{answers[1].json()['items'][0]['id']}").json()

    assert shown == found["status"] == ("scheduled" if ahead["days"] > 0 else "pending")


def test_a_route_gives_channel_and_address_to_what_names_none(database: str) -> None:
    routes = {"order.shipped": Route(channel="email")}
    with make_client(database, **SET_UP, routes=routes) as client:
        assert refused(client, event="order.shipped") == ("address", "is required by the channel email")
        accepted = client.post("/notifications", json={**GOOD, "event": "order.shipped", "address": "a@example.com"})
        other = client.post("/notifications", json=GOOD)

    assert (accepted.status_code, other.status_code) == (202, 202)


def test_dates_of_a_notification_stand_in_its_data(herald: Client) -> None:
    body = {"topic": "notifications", "data": GOOD, "deliver_at": date(days=1)}

    answer = herald.post("/messages", json=body)

    assert answer.status_code == 400
    assert answer.json()["errors"][0] == {
        "field": "deliver_at",
        "detail": "belongs into data on the topic notifications",
    }


def test_a_message_of_any_topic_may_have_dates(herald: Client) -> None:
    body = {"topic": "generic_topic", "data": {"a": 1}, "deliver_at": date(days=1), "priority": 7}

    answer = herald.post("/messages", json=body)

    found = herald.get(f"/messages/{answer.json()['id']}").json()
    assert (answer.status_code, found["status"], found["priority"]) == (202, "scheduled", 7)


def test_what_was_not_tried_is_cancelled(herald: Client) -> None:
    posted = herald.post("/notifications", json=GOOD).json()["id"]

    answers = [herald.post(f"/notifications/{posted}/cancel") for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == {"id": posted, "status": "cancelled"}
    assert herald.get(f"/messages/{posted}").json()["status"] == "cancelled"


def test_what_nobody_knows_cannot_be_cancelled(herald: Client) -> None:
    unknown = new_id()

    assert herald.post(f"/notifications/{unknown}/cancel").status_code == 404
    assert herald.post("/messages/x/cancel").status_code == 400
