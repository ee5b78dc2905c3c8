from collections.abc import Iterator
from contextlib import closing
from typing import Any
from uuid import UUID

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from psycopg2.errors import LockNotAvailable
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class with a lower-case name

from outbox.claims import Claim, Record, claim
from outbox.database import read_clock
from outbox.kafka import make_admin
from outbox.outcomes import Outcome, record_outcomes
from outbox.registry import DEAD_LETTERS
from outbox.relay import cursor as cursors
from outbox.relay.rebase import NOT_YET
from outbox.scheduler import lost
from outbox.scheduler.due import request_due
from outbox.scheduler.leases import settle_leases
from outbox.scheduler.lost import is_behind, lost_in, note_page, request_lost, within
from outbox.scheduler.requests import WAITED_FOR, Choice, pending_that, request_again
from outbox.topics import make_topics
from tests.outbox.connections import (
    accepted,
    compared,
    connected,
    fetch,
    make_settings,
    notification,
    status_of,
    types_of,
)


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    with compared(database) as connection:
        yield connection


def tick(connection: Connection, **settings: Any) -> int:
    """What the scheduler does every fraction of a second; returns how many messages were requested."""
    found = make_settings("postgresql://nowhere/herald", **settings)
    settle_leases(connection, found)
    return request_due(connection, found)


def failed(connection: Connection, *, retry_in: float) -> UUID:
    (message,) = accepted(connection, notification())
    claim(connection, [Record(message, 1)], lease=60)
    outcome = Outcome(id=message, attempt=1, outcome="failed", reason="busy", retry_in=retry_in)
    record_outcomes(connection, [outcome], dead_letters=DEAD_LETTERS)
    connection.commit()
    return message


def test_a_retry_whose_date_has_come_is_requested_again(connection: Connection) -> None:
    due, later = failed(connection, retry_in=0.0), failed(connection, retry_in=60.0)

    assert tick(connection) == 1

    assert (status_of(connection, due), status_of(connection, later)) == ("pending", "failed")
    ((topic, payload, headers),) = fetch(
        connection, "SELECT topic, payload, headers FROM outbox WHERE stream_id = %s AND version = 4", str(due)
    )
    assert topic == "notifications"
    assert payload["user_id"] == "ada"
    assert headers == {"request": 2, "cause": "retry"}


def test_a_record_of_the_first_request_starts_nothing_after_the_second(connection: Connection) -> None:
    message = failed(connection, retry_in=0.0)
    tick(connection)

    assert claim(connection, [Record(message, 1)], lease=60) == {}
    assert claim(connection, [Record(message, 2)], lease=60) == {message: Claim(2, 0, is_probe=False)}


def test_an_attempt_whose_lease_ended_without_outcome_is_tried_again(connection: Connection) -> None:
    (message,) = accepted(connection, notification())
    claim(connection, [Record(message, 1)], lease=0.0)
    connection.commit()

    assert tick(connection) == 1

    assert types_of(connection, message) == ["requested", "started", "unknown", "requested"]
    assert status_of(connection, message) == "pending"


def test_an_attempt_within_its_lease_is_left_alone(connection: Connection) -> None:
    (message,) = accepted(connection, notification())
    claim(connection, [Record(message, 1)], lease=60.0)
    connection.commit()

    assert tick(connection) == 0
    assert status_of(connection, message) == "sending"


def test_an_unknown_outcome_of_the_last_attempt_is_dead(connection: Connection) -> None:
    (message,) = accepted(connection, notification())
    claim(connection, [Record(message, 1)], lease=0.0)
    connection.commit()

    tick(connection, max_attempts=1)

    ((status, reason),) = fetch(connection, "SELECT status, reason FROM messages")
    assert (status, reason) == ("dead", "no outcome before the lease ended (attempt 1 of 1)")
    assert types_of(connection, message)[-1] == "dead_lettered"


def test_an_outcome_that_comes_after_its_lease_still_counts_until_the_next_attempt(connection: Connection) -> None:
    (message,) = accepted(connection, notification())
    claim(connection, [Record(message, 1)], lease=0.0)
    connection.commit()
    tick(connection)

    record_outcomes(connection, [Outcome(id=message, attempt=1, outcome="sent")], dead_letters=DEAD_LETTERS)

    assert status_of(connection, message) == "sent"
    assert claim(connection, [Record(message, 2)], lease=60) == {}


def test_an_outcome_that_comes_after_the_next_attempt_began_is_late(connection: Connection) -> None:
    (message,) = accepted(connection, notification())
    claim(connection, [Record(message, 1)], lease=0.0)
    connection.commit()
    tick(connection)
    claim(connection, [Record(message, 2)], lease=60)

    record_outcomes(connection, [Outcome(id=message, attempt=1, outcome="sent")], dead_letters=DEAD_LETTERS)

    assert status_of(connection, message) == "sending"
    assert types_of(connection, message)[-1] == "late"


def test_only_what_the_snapshot_shows_as_published_is_requested_again(connection: Connection) -> None:
    (published,) = accepted(connection, notification())
    ((snapshot,),) = fetch(connection, "SELECT pg_current_snapshot()::text")
    (unpublished,) = accepted(connection, notification())

    assert len(request_again(connection, lost_in(snapshot), limit=10)) == 1

    requests = fetch(connection, "SELECT id::text, request FROM messages")
    assert dict(requests) == {str(published): 2, str(unpublished): 1}


@pytest.mark.parametrize(
    ("ends", "committed", "behind"),
    [
        ({"a": {"0": 5}}, {"a": {"0": 5}}, True),
        ({"a": {"0": 5}}, {"a": {"0": 4}}, False),
        ({"a": {"0": 5}}, {}, False),
        ({"a": {"0": 0}}, {}, True),
        ({"a": {"0": 5}, "b": {"1": 1}}, {"a": {"0": 9}, "b": {"0": 1}}, False),
    ],
)
def test_a_page_is_behind_the_group_once_every_partition_is(
    ends: dict[str, dict[str, int]], committed: dict[str, dict[str, int]], *, behind: bool
) -> None:
    assert is_behind(ends, committed) is behind


def test_what_a_partition_lost_at_its_end_does_not_count_as_unread() -> None:
    noted = {"notifications": {"0": 5, "1": 2}, "generic_topic": {"0": 1}}

    assert within(noted, {"notifications": {"0": 3, "1": 9}}) == {
        "notifications": {"0": 3, "1": 2},
        "generic_topic": {"0": 1},
    }


@pytest.mark.parametrize(
    ("ends", "pages"),
    [({"notifications": {"0": 5}, "generic_topic": {"0": 0}}, 1), ({"generic_topic": {"0": 0}}, 0)],
)
def test_no_page_is_noted_while_a_topic_is_missing(
    connection: Connection, monkeypatch: pytest.MonkeyPatch, ends: dict[str, dict[str, int]], pages: int
) -> None:
    cursors.load(connection)
    monkeypatch.setattr(lost, "_partitions", lambda _admin: ends)
    monkeypatch.setattr(lost, "read_end_offsets", lambda _admin, partitions: partitions)

    note_page(connection, AdminClient({}))

    assert fetch(connection, "SELECT count(*) FROM relay_pages") == [(pages,)]


def test_what_the_group_has_passed_without_an_attempt_is_requested_again(
    connection: Connection, database: str, broker: str
) -> None:
    settings = make_settings(database, KAFKA_BOOTSTRAP_SERVERS=broker)
    admin = make_admin(settings)
    make_topics(admin, settings)
    producer = Producer({"bootstrap.servers": broker})
    for _ in range(2):  # the embedded broker may list where the last batch begins
        producer.produce("notifications", b"{}", partition=2)
        assert producer.flush(10) == 0
    (message,) = accepted(connection, notification())
    cursors.load(connection)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE relay_cursor SET previous = pg_current_snapshot()")
    note_page(connection, admin)

    waiting = request_lost(connection, admin, settings)
    with closing(Consumer({"bootstrap.servers": broker, "group.id": settings.group})) as consumer:
        consumer.commit(offsets=[TopicPartition("notifications", 2, 2)], asynchronous=False)
    passed = request_lost(connection, admin, settings)

    assert (waiting, passed) == (0, 1)
    assert fetch(connection, "SELECT id::text, request FROM messages") == [(str(message), 2)]


def test_a_restored_request_with_the_id_of_this_transaction_is_requested_again_once(connection: Connection) -> None:
    (message,) = accepted(connection, notification())
    choice = Choice(pending_that(NOT_YET), {"begun_at": read_clock(connection)}, "'lost'")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE messages SET requested_in = pg_current_xact_id()")

    again = [request_again(connection, choice, limit=10) for _ in range(2)]

    assert [len(found) for found in again] == [1, 0]
    assert again[0][0][0] == str(message)


def test_a_choice_that_waits_leaves_nothing_that_another_transaction_holds(
    connection: Connection, database: str
) -> None:
    (message,) = accepted(connection, notification())
    with connected(database) as holder:
        fetch(holder, "SELECT 1 FROM messages WHERE id = %s FOR UPDATE", str(message))
        fetch(connection, "SELECT set_config('lock_timeout', '200ms', false)")

        assert request_again(connection, Choice(pending_that("true"), {}, "'lost'"), limit=10) == []
        with pytest.raises(LockNotAvailable):
            request_again(connection, Choice(pending_that("true"), {}, "'lost'", WAITED_FOR), limit=10)
        connection.rollback()
