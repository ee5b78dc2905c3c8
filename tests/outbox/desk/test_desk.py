"""Looking at dead letters, and what a person decides about them."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from herald.outbox.desk.filters import Filter
from herald.outbox.desk.looking import choose, count_dead_letters, find_dead_letter, list_dead_letters, list_groups
from herald.outbox.moves.claim import Claim, Record, claim
from herald.outbox.moves.decide import Edit, discard, requeue
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import execute, fetch
from tests.outbox.connections import accepted, notification, status_of, types_of
from tests.outbox.desk.conftest import Bury
from tests.pipeline.records import new_id

SOON, BEFORE = datetime.now(UTC) + timedelta(days=1), datetime.now(UTC) - timedelta(days=1)


def test_dead_letters_are_grouped_by_what_they_failed_of(connection: Connection, bury: Bury) -> None:
    bury("HTTP 500 (attempt 8 of 8)", 3)
    bury("HTTP 500 (attempt 2 of 2)")
    bury("HTTP 404")
    bury("cut off", kind="unknown", destination="email:smtp.example.com")

    groups = [(one.error, one.channel, one.status, one.count) for one in list_groups(connection)]

    assert groups[0] == ("HTTP 500", "webhook", "dead", 4)
    assert sorted(groups[1:]) == [("HTTP 404", "webhook", "dead", 1), ("cut off", "email", "unknown", 1)]


def test_reasons_that_differ_in_ids_and_long_numbers_are_one_error(connection: Connection, bury: Bury) -> None:
    for order in (str(new_id()), str(new_id()).upper()):
        bury(f"order {order} of customer 1234567 is closed")

    (group,) = list_groups(connection)

    assert (group.error, group.count) == ("order # of customer # is closed", 2)
    assert count_dead_letters(connection, Filter(error=group.error)) == 2


def test_what_is_not_given_up_is_not_on_the_desk(connection: Connection) -> None:
    (message,) = accepted(connection, notification())

    assert list_groups(connection) == []
    assert find_dead_letter(connection, message) is None
    assert requeue(connection, [message]) == discard(connection, [message], reason="no") == []


def test_dead_letters_are_listed_newest_first_page_by_page(connection: Connection, bury: Bury) -> None:
    messages = bury(count=5)

    first, _ = list_dead_letters(connection, limit=3)
    rest, _ = list_dead_letters(connection, limit=3, before=first[-1].id)

    assert [one.id for one in (*first, *rest)] == messages[::-1]


@pytest.mark.parametrize(
    ("given", "fits"),
    [
        ({}, True),
        ({"topic": "notifications"}, True),
        ({"topic": "generic_topic"}, False),
        ({"channel": "webhook"}, True),
        ({"channel": "email"}, False),
        ({"destination": "webhook:hooks.example.com"}, True),
        ({"destination": "webhook:other.example.com"}, False),
        ({"status": "dead"}, True),
        ({"status": "unknown"}, False),
        ({"error": "HTTP 500"}, True),
        ({"error": "HTTP"}, False),
        ({"event": "greeting"}, True),
        ({"event": "farewell"}, False),
        ({"key": "ada"}, True),
        ({"key": "bob"}, False),
        ({"since": BEFORE}, True),
        ({"since": SOON}, False),
        ({"until": SOON}, True),
        ({"until": BEFORE}, False),
        ({"channel": "webhook", "key": "bob"}, False),
    ],
)
def test_a_filter_takes_what_fits_in_everything(
    connection: Connection, bury: Bury, given: dict[str, Any], *, fits: bool
) -> None:
    (message,) = bury("HTTP 500 (attempt 8 of 8)")

    assert choose(connection, Filter(**given), limit=10) == ([message] if fits else [])


def test_a_requeue_begins_anew(connection: Connection, bury: Bury) -> None:
    (message,) = bury()
    execute(connection, "SELECT version FROM messages")

    assert requeue(connection, [message]) == [message]

    rows = fetch(connection, "SELECT status, request, attempts, uncounted FROM messages")
    assert rows == [("pending", 2, 1, 1)]
    assert claim(connection, [Record(message, 2)], lease=60) == {message: Claim(2, 1, is_probe=False)}
    assert types_of(connection, message) == ["requested", "started", "dead_lettered", "requested", "started"]


def test_a_requeued_message_is_published_like_any_request(connection: Connection, bury: Bury) -> None:
    (message,) = bury()
    requeue(connection, [message])

    rows = fetch(connection, "SELECT topic, key, data, payload FROM outbox WHERE version = 4")
    assert rows == [("notifications", "ada", None, {"request": 2, "cause": "requeued", "data_version": 1})]


def test_requeuing_twice_is_requeuing_once(connection: Connection, bury: Bury) -> None:
    (message,) = bury()
    requeue(connection, [message])

    assert requeue(connection, [message]) == []


def test_what_is_held_for_a_person_can_be_requeued(connection: Connection, bury: Bury) -> None:
    (message,) = bury("cut off", kind="unknown")

    assert requeue(connection, [message]) == [message]


def test_an_edit_is_in_the_log_before_the_request_with_the_new_data(connection: Connection, bury: Bury) -> None:
    (message,) = bury()
    data = {"user_id": "bob", "event": "greeting", "content": "corrected"}

    requeue(connection, [message], edit=Edit(msgspec.Raw(msgspec.json.encode(data)), "bob"))

    assert types_of(connection, message) == ["requested", "started", "dead_lettered", "edited", "requested"]
    assert fetch(connection, "SELECT key, data_version FROM messages") == [("bob", 4)]
    asked = "SELECT key, payload ->> 'data_version' FROM outbox WHERE version = 5"
    assert fetch(connection, asked) == [("bob", "4")]
    assert fetch(connection, "SELECT data FROM outbox WHERE version = 4") == [(data,)]


def test_a_discard_says_why_and_is_final(connection: Connection, bury: Bury) -> None:
    (message,) = bury()

    assert discard(connection, [message], reason="the customer left") == [message]

    assert status_of(connection, message) == "discarded"
    assert types_of(connection, message)[-1] == "discarded"
    assert requeue(connection, [message]) == []


def test_the_decision_is_about_those_that_were_named(connection: Connection, bury: Bury) -> None:
    first, second = bury(count=2)

    requeue(connection, [first, UUID(int=0)])

    assert (status_of(connection, first), status_of(connection, second)) == ("pending", "dead")
