"""What becomes of attempts whose lease ended without an outcome, by channel and topic."""

from datetime import timedelta

from herald.outbox.moves.claim import Claim, Record, claim
from herald.outbox.moves.decide import requeue
from herald.outbox.moves.expire import expire
from herald.outbox.moves.record import Outcome, record_outcomes
from herald.outbox.moves.settle import settle_leases
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch
from herald.outbox.registry import DEAD_LETTERS
from herald.outbox.scheduler.due import request_due
from tests.outbox.connections import accepted, make_settings, notification, status_of
from tests.outbox.scheduler.simulated_clock import shift, simulated_clock

URL = "postgresql://nowhere/herald"
MAIL = "email:example.com"


def test_a_mail_whose_lease_ends_is_tried_once_more_and_held_then(connection: Connection) -> None:
    found = make_settings(URL)
    (message,) = accepted(connection, notification())
    statuses = []
    for request in (1, 2):
        claim(connection, [Record(message, request, destination=MAIL)], lease=0.0)
        settle_leases(connection, found)
        statuses.append(status_of(connection, message))
        request_due(connection, make_settings(URL))

    assert statuses == ["failed", "unknown"]
    assert fetch(connection, "SELECT unknowns, due_at FROM messages") == [(2, None)]


def test_an_unknown_outcome_that_the_pipeline_saw_counts_when_a_lease_ends(connection: Connection) -> None:
    (message,) = accepted(connection, notification())
    claim(connection, [Record(message, 1, destination=MAIL)], lease=60.0)
    cut = Outcome(id=message, attempt=1, outcome="unknown", reason="cut off", retry_in=0.0)
    record_outcomes(connection, [cut], dead_letters=DEAD_LETTERS)
    request_due(connection, make_settings(URL))
    won = claim(connection, [Record(message, 2, destination=MAIL)], lease=0.0)

    settle_leases(connection, make_settings(URL))

    assert won[message].unknowns == 1
    assert status_of(connection, message) == "unknown"


def test_a_persons_requeue_allows_one_repetition_more(connection: Connection) -> None:
    found = make_settings(URL)
    (message,) = accepted(connection, notification())
    for request in (1, 2):
        claim(connection, [Record(message, request, destination=MAIL)], lease=0.0)
        settle_leases(connection, found)
        request_due(connection, make_settings(URL))
    requeue(connection, [message])
    claim(connection, [Record(message, 3, destination=MAIL)], lease=0.0)

    settle_leases(connection, found)

    assert status_of(connection, message) == "failed"


def test_what_no_pipeline_could_try_for_a_weekend_is_neither_expired_nor_tried(connection: Connection) -> None:
    (message,) = accepted(connection, notification())
    connection.autocommit = True
    with simulated_clock(connection):
        shift(connection, timedelta(days=3))
        expire(connection)
        settle_leases(connection, make_settings(URL))
        request_due(connection, make_settings(URL))

        won = claim(connection, [Record(message, 1, destination=MAIL)], lease=60.0)

    connection.autocommit = False
    assert won == {message: Claim(1, 0, is_probe=False)}


def test_on_a_strict_topic_a_lease_ends_by_the_schedule_of_strict_topics(connection: Connection) -> None:
    (message,) = accepted(connection, notification())
    claim(connection, [Record(message, 1)], lease=0.0)
    connection.commit()
    strict = {"strict_topics": ("notifications",), "strict_max_attempts": 1}

    settle_leases(connection, make_settings(URL, **strict))

    assert status_of(connection, message) == "dead"
