"""What is requested when its date has come, in which order, and what waits all the same."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from herald.outbox.message.dates import Dates
from herald.outbox.moves.accept import Acceptance, make_acceptance
from herald.outbox.moves.claim import Record, claim
from herald.outbox.moves.expire import expire
from herald.outbox.moves.pauses import pause, resume
from herald.outbox.moves.record import Outcome, record_outcomes
from herald.outbox.moves.settle import settle_leases
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch
from herald.outbox.registry import DEAD_LETTERS
from herald.outbox.scheduler.due import request_due
from herald.outbox.settings import ChannelPolicy
from tests.outbox.connections import (
    accepted,
    compared,
    execute_and_commit,
    make_settings,
    notification,
    status_of,
    types_of,
)

HOOK = "webhook:hooks.example.com"
SOON = timedelta(seconds=0.3)


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    with compared(database) as connection:
        yield connection


def due(connection: Connection, **settings: Any) -> int:
    count = request_due(connection, make_settings("postgresql://nowhere/herald", **settings))
    connection.commit()
    return count


def postponed(connection: Connection, count: int = 1, *, user: str | None = None) -> list[UUID]:
    """Messages to one destination that were paused and are due now."""
    messages = accepted(connection, *(notification(user or f"user {number}") for number in range(count)))
    pause(connection, "all")
    claim(connection, [Record(message, 1, destination=HOOK) for message in messages], lease=60)
    resume(connection, "all")
    connection.commit()
    return messages


def dated(connection: Connection, **dates: Any) -> UUID:
    data = msgspec.json.encode({"user_id": "ada", "event": "greeting", "content": "hello"})
    (message,) = accepted(connection, _dated(data, **dates))
    return message


def _dated(data: bytes, **dates: Any) -> Acceptance:
    return make_acceptance("notifications", "ada", data, dates=Dates(**dates))


def breaker(connection: Connection, **columns: str) -> None:
    """A breaker of the destination; values are SQL."""
    names, values = ", ".join(columns), ", ".join(columns.values())
    execute_and_commit(
        connection, f"INSERT INTO breakers (destination, failures, {names}) VALUES (%s, 5, {values})", HOOK
    )


def await_due(connection: Connection) -> None:
    """Until the database's clock has passed every date: it is asked to sleep until then."""
    fetch(
        connection,
        "SELECT pg_sleep(greatest(0, extract(epoch FROM max(due_at) - clock_timestamp()))) FROM messages",
    )
    connection.commit()


def test_a_message_for_later_is_requested_at_its_date_and_not_before(connection: Connection) -> None:
    message = dated(connection, deliver_at=datetime.now(UTC) + SOON)
    assert due(connection) == 0

    await_due(connection)

    assert due(connection) == 1
    rows = fetch(connection, "SELECT payload ->> 'request', payload ->> 'cause' FROM outbox WHERE version = 2")
    assert rows == [("1", "scheduled")]
    assert claim(connection, [Record(message, 1)], lease=60)


def test_what_is_urgent_is_requested_first(connection: Connection) -> None:
    at = datetime.now(UTC) + SOON
    low, normal, high = (dated(connection, deliver_at=at, priority=priority) for priority in (0, None, 9))
    await_due(connection)

    due(connection)

    order = fetch(connection, "SELECT stream_id::text FROM outbox WHERE type = 'message.requested' ORDER BY position")
    assert [message for (message,) in order] == [str(high), str(normal), str(low)]


@pytest.mark.parametrize("scope", ["all", "topic:notifications", "channel:webhook"])
def test_what_is_paused_stays_due_until_it_is_resumed(connection: Connection, scope: str) -> None:
    (message,) = postponed(connection)
    execute_and_commit(connection, "INSERT INTO pauses (scope) VALUES (%s)", scope)
    assert due(connection) == 0

    execute_and_commit(connection, "DELETE FROM pauses")

    assert due(connection) == 1
    assert types_of(connection, message) == ["requested", "postponed", "requested"]


def test_a_pause_of_another_topic_holds_nothing_back(connection: Connection) -> None:
    postponed(connection)
    pause(connection, "topic:generic_topic")

    assert due(connection) == 1
    assert resume(connection, "topic:generic_topic")


def test_an_open_breaker_gets_nothing_before_its_probe(connection: Connection) -> None:
    postponed(connection, 3)
    breaker(connection, opened_at="clock_timestamp()", probe_at="clock_timestamp() + interval '1 minute'")

    assert due(connection) == 0


def test_an_open_breaker_whose_date_has_come_gets_one_probe_until_that_is_over(connection: Connection) -> None:
    postponed(connection, 3)
    breaker(connection, opened_at="clock_timestamp()", probe_at="clock_timestamp()")

    assert [due(connection), due(connection)] == [1, 0]

    ((probe,),) = fetch(connection, "SELECT probe_id::text FROM breakers")
    assert fetch(connection, "SELECT id::text FROM messages WHERE status = 'pending'") == [(probe,)]
    assert claim(connection, [Record(UUID(probe), 2, destination=HOOK)], lease=60)[UUID(probe)].is_probe


def test_a_probe_whose_worker_was_killed_is_followed_by_another(connection: Connection) -> None:
    postponed(connection, 3)
    breaker(connection, opened_at="clock_timestamp()", probe_at="clock_timestamp()")
    due(connection)

    execute_and_commit(connection, "UPDATE breakers SET probe_until = clock_timestamp()")

    assert due(connection) == 1


def test_what_waited_for_a_destination_that_recovers_returns_in_a_ramp(connection: Connection) -> None:
    postponed(connection, 100)
    breaker(connection, closed_at="clock_timestamp()")
    released = [due(connection, breaker_ramp=10.0)]

    for seconds in (1, 2, 3):
        execute_and_commit(
            connection, "UPDATE breakers SET closed_at = clock_timestamp() - make_interval(secs => %s)", seconds
        )
        released.append(due(connection, breaker_ramp=10.0))

    assert released == pytest.approx([1, 10, 20, 40], rel=0.1)  # 18 ms between two statements are one more


def test_a_ramp_that_is_over_holds_nothing_back(connection: Connection) -> None:
    postponed(connection, 100)
    breaker(connection, closed_at="clock_timestamp() - interval '10 seconds'")
    due(connection)

    assert due(connection) == 100
    assert fetch(connection, "SELECT * FROM breakers") == []


def test_on_a_strict_topic_the_first_of_a_key_is_requested_alone(connection: Connection) -> None:
    first, second = postponed(connection, 2, user="ada")

    assert due(connection, strict_topics=("notifications",)) == 1

    assert (status_of(connection, first), status_of(connection, second)) == ("pending", "scheduled")


def test_on_any_other_topic_the_messages_of_a_key_are_requested_in_their_order(connection: Connection) -> None:
    messages = postponed(connection, 20, user="ada")

    assert due(connection) == 20

    order = fetch(connection, "SELECT stream_id::text FROM outbox WHERE version = 3 ORDER BY position")
    assert [UUID(message) for (message,) in order] == messages


def test_what_passed_its_last_date_expires_and_says_so(connection: Connection) -> None:
    late = dated(connection, deliver_by=datetime.now(UTC) - SOON)
    (other,) = accepted(connection, notification())

    expire(connection)

    assert (status_of(connection, late), status_of(connection, other)) == ("expired", "pending")
    assert types_of(connection, late) == ["requested", "expired"]
    assert claim(connection, [Record(late, 1)], lease=60) == {}


def test_what_is_being_tried_does_not_expire(connection: Connection) -> None:
    message = dated(connection, deliver_by=datetime.now(UTC) + SOON)
    claim(connection, [Record(message, 1)], lease=60)
    fetch(connection, "SELECT pg_sleep(0.1)")

    expire(connection)

    assert status_of(connection, message) == "sending"


def test_a_lease_that_ended_is_held_where_the_channel_says_so(connection: Connection) -> None:
    held, repeated = accepted(connection, notification("ada"), notification("bob"))
    records = [Record(held, 1, destination="email:smtp.example.com"), Record(repeated, 1, destination=HOOK)]
    claim(connection, records, lease=0.0)
    connection.commit()

    channels = {"email": ChannelPolicy(unknown="hold")}
    settle_leases(connection, make_settings("postgresql://nowhere/herald", channels=channels))

    assert (status_of(connection, held), status_of(connection, repeated)) == ("unknown", "failed")


def test_a_lease_of_a_channel_that_is_no_longer_registered_ends_like_any_other(connection: Connection) -> None:
    (message,) = accepted(connection, notification())
    claim(connection, [Record(message, 1, destination="pigeon:roof")], lease=0.0)
    connection.commit()

    settle_leases(connection, make_settings("postgresql://nowhere/herald"))

    assert status_of(connection, message) == "failed"


def test_attempts_that_do_not_count_do_not_kill_at_the_end_of_a_lease(connection: Connection) -> None:
    (message,) = accepted(connection, notification())
    claim(connection, [Record(message, 1)], lease=60)
    back = Outcome(id=message, attempt=1, outcome="postponed", reason="stopped", retry_in=0.0)
    record_outcomes(connection, [back], dead_letters=DEAD_LETTERS)
    connection.commit()
    due(connection)
    claim(connection, [Record(message, 2)], lease=0.0)
    connection.commit()

    settle_leases(connection, make_settings("postgresql://nowhere/herald", max_attempts=2))

    assert status_of(connection, message) == "failed"
