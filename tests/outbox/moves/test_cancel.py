"""Cancelling, and dates at acceptance."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from herald.outbox.message.dates import DateError, Dates, check_dates
from herald.outbox.moves.accept import Acceptance, make_acceptance
from herald.outbox.moves.cancel import Reach, Standing, cancel
from herald.outbox.moves.claim import Record, claim
from herald.outbox.moves.decide import requeue
from herald.outbox.moves.record import Outcome, record_outcomes
from herald.outbox.moves.reject import Rejection, reject
from herald.outbox.moves.settle import settle_batch
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import execute, fetch
from tests.outbox.connections import accepted, connected, make_settings, notification, status_of, types_of
from tests.pipeline.records import new_id
from tests.servers.eventually import eventually

NOW = datetime(2026, 12, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def later(**dates: object) -> Acceptance:
    data = msgspec.json.encode({"user_id": "ada", "event": "greeting", "content": "hello"})
    return make_acceptance("notifications", "ada", data, dates=msgspec.convert(dates, Dates))


def test_a_message_for_later_is_scheduled_and_not_published(connection: Connection) -> None:
    at = datetime.now(UTC) + DAY
    (message,) = accepted(connection, later(deliver_at=at, priority=9))

    assert types_of(connection, message) == ["scheduled"]
    rows = fetch(connection, "SELECT status, request, due_at, priority FROM messages")
    assert rows == [("scheduled", 0, at, 9)]
    assert fetch(connection, "SELECT topic FROM outbox") == [(None,)]


def test_a_date_that_has_passed_means_at_once(connection: Connection) -> None:
    (message,) = accepted(connection, later(deliver_at=datetime.now(UTC) - DAY))

    assert types_of(connection, message) == ["requested"]


def test_what_is_not_tried_yet_can_be_cancelled(connection: Connection) -> None:
    messages = accepted(connection, notification(), later(deliver_at=datetime.now(UTC) + DAY))

    assert [cancel(connection, message) for message in messages] == [Standing("cancelled", 0)] * 2

    assert [status_of(connection, message) for message in messages] == ["cancelled"] * 2
    assert claim(connection, [Record(messages[0], 1)], lease=60) == {}


def test_cancelling_twice_is_cancelling_once(connection: Connection) -> None:
    (message,) = accepted(connection, notification())
    cancel(connection, message)

    assert cancel(connection, message) == Standing("cancelled", 0)
    assert types_of(connection, message) == ["requested", "cancelled"]


def test_what_was_given_back_untried_can_be_cancelled(connection: Connection) -> None:
    (message,) = accepted(connection, notification())
    claim(connection, [Record(message, 1)], lease=60)
    back = Outcome(id=message, attempt=1, outcome="postponed", reason="not tried", retry_in=60.0)
    record_outcomes(connection, [back], dead_letters="dead_letters")

    assert cancel(connection, message) == Standing("cancelled", 1)
    assert status_of(connection, message) == "cancelled"


def test_what_may_have_arrived_before_a_person_requeued_it_cannot_be_cancelled(connection: Connection) -> None:
    (message,) = accepted(connection, notification())
    claim(connection, [Record(message, 1)], lease=60)
    lost = Outcome(id=message, attempt=1, outcome="unknown", reason="no answer")
    record_outcomes(connection, [lost], dead_letters="dead_letters")
    requeue(connection, [message])

    assert cancel(connection, message) == Standing("pending", 1)
    record_outcomes(connection, [Outcome(id=message, attempt=1, outcome="sent")], dead_letters="dead_letters")
    assert status_of(connection, message) == "sent"


def test_what_is_being_tried_cannot_be_cancelled(connection: Connection) -> None:
    (message,) = accepted(connection, notification())
    claim(connection, [Record(message, 1)], lease=60)

    assert cancel(connection, message) == Standing("sending", 1)
    assert status_of(connection, message) == "sending"


def test_a_cancel_waits_for_no_transaction(connection: Connection, database: str) -> None:
    (message,) = accepted(connection, notification())
    cancel(connection, message)
    with connected(database) as other:
        execute(other, "SET lock_timeout = '5s'")
        assert cancel(other, message) == Standing("pending", 0, is_held=True)
        assert cancel(other, message, reach=Reach(["generic_topic"])) is None
        connection.rollback()

        assert cancel(other, message) == Standing("cancelled", 0)
        other.commit()
    assert status_of(connection, message) == "cancelled"


def test_a_refusal_waits_for_no_transaction(connection: Connection, database: str) -> None:
    held, other = accepted(connection, notification(), notification())
    cancel(connection, held)
    with connected(database) as relay:
        execute(relay, "SET lock_timeout = '5s'")
        reject(relay, [Rejection(str(one), 1, 1, "too large") for one in (held, other)])
        relay.commit()
    connection.commit()

    assert [status_of(connection, one) for one in (held, other)] == ["cancelled", "dead"]


def test_who_waited_for_another_move_takes_the_message_out_of_the_queue_that_it_was_put_into(
    connection: Connection, database: str
) -> None:
    """What he sees began before that move was committed."""
    (message,) = accepted(connection, notification())
    claim(connection, [Record(message, 1, "log")], lease=0)
    connection.commit()
    assert settle_batch(connection, make_settings(database)) == {"failed": 1}
    sent = Outcome(id=message, attempt=1, outcome="sent")
    with connected(database) as other, ThreadPoolExecutor(1) as pool:
        other.autocommit = True
        recording = pool.submit(record_outcomes, other, [sent], dead_letters="dead_letters")
        blocked = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        eventually(lambda: fetch(connection, blocked) == [(1,)], 10)
        connection.commit()

        recording.result()
    assert status_of(connection, message) == "sent"
    assert fetch(connection, "SELECT count(*) FROM waiting") == [(0,)]


def test_nobody_knows_a_message_of_another_topic(connection: Connection) -> None:
    (message,) = accepted(connection, notification())

    assert cancel(connection, message, reach=Reach(["generic_topic"])) is None
    assert cancel(connection, new_id()) is None


@pytest.mark.parametrize(
    ("dates", "field", "text"),
    [
        (Dates(deliver_at=NOW + 400 * DAY), "deliver_at", "more than 366 days ahead"),
        (Dates(deliver_by=NOW + 400 * DAY), "deliver_by", "more than 366 days ahead"),
        (Dates(deliver_by=NOW), "deliver_by", "has passed already"),
        (Dates(deliver_at=NOW + DAY, deliver_by=NOW + DAY), "deliver_by", "must come after deliver_at"),
    ],
)
def test_a_date_that_cannot_be_kept_is_refused_with_its_limit(dates: Dates, field: str, text: str) -> None:
    with pytest.raises(DateError, match=text) as caught:
        check_dates(dates, now=NOW, max_ahead=366 * 86400.0)

    assert caught.value.field == field


def test_dates_within_the_bounds_are_taken() -> None:
    check_dates(Dates(deliver_at=NOW - DAY, deliver_by=NOW + DAY), now=NOW, max_ahead=366 * 86400.0)
