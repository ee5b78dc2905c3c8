from typing import Any
from uuid import UUID

import pytest

from herald.outbox.moves.claim import Claim, Record, claim
from herald.outbox.moves.record import Outcome, record_outcomes
from herald.outbox.moves.request_again import WAITED_FOR, Choice, pending_that, request_again
from herald.outbox.moves.settle import settle_leases
from herald.outbox.postgres.driver import Connection, errors
from herald.outbox.postgres.statements import fetch
from herald.outbox.registry import DEAD_LETTERS
from herald.outbox.relay.rebase import NOT_YET
from herald.outbox.scheduler.due import request_due
from tests.outbox.connections import (
    accepted,
    connected,
    execute_and_commit,
    make_settings,
    notification,
    status_of,
    types_of,
)


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
    stored = fetch(connection, "SELECT topic, data, payload FROM outbox WHERE stream_id = %s AND version = 4", str(due))
    assert stored == [("notifications", None, {"request": 2, "cause": "retry", "data_version": 1})]


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


def test_a_restored_request_with_the_id_of_this_transaction_is_requested_again_once(
    connection: Connection, database: str
) -> None:
    (message,) = accepted(connection, notification())
    choice = Choice(pending_that(NOT_YET), {}, "'lost'")
    ((own,),) = fetch(connection, "SELECT pg_current_xact_id()::text")
    with connected(database) as other:
        execute_and_commit(other, "UPDATE messages SET requested_in = %s", own)

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
        with pytest.raises(errors.LockNotAvailable):
            request_again(connection, Choice(pending_that("true"), {}, "'lost'", WAITED_FOR), limit=10)
        connection.rollback()
