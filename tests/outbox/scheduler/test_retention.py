"""Closing the books: what leaves, what is carried over, and what happens around it."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from herald.outbox.moves.adopt import Foreign, adopt
from herald.outbox.moves.cancel import cancel
from herald.outbox.moves.claim import Record, claim
from herald.outbox.moves.decide import requeue
from herald.outbox.moves.record import Outcome, record_outcomes
from herald.outbox.moves.send_again import send_again
from herald.outbox.postgres.connections import read_clock
from herald.outbox.postgres.driver import Connection, PostgresError, errors
from herald.outbox.postgres.log import read_stream
from herald.outbox.postgres.statements import fetch
from herald.outbox.registry import DEAD_LETTERS
from herald.outbox.relay import cursor as cursors
from herald.outbox.relay.reader import Limits, read_page
from herald.outbox.scheduler.partitions import make_partitions
from herald.outbox.scheduler.retention import STEP, Retention, close_books
from tests.outbox.connections import (
    accepted,
    connected,
    execute_and_commit,
    notification,
    status_of,
    types_of,
)
from tests.outbox.scheduler.simulated_clock import id_at, long_ago, shift

RETENTION = 7200.0  # seconds
WIDE = 86_400.0  # seconds of retention that give partitions of six hours: a few, quickly made
THEN = timedelta(hours=-15)  # when the messages of these tests are accepted: their partition is due
UNPUBLISHED = "what the relay has not published yet"
KEPT = ("scheduled", "pending", "sending", "failed", "unknown", "dead")
ENDED = ("sent", "cancelled")


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    with long_ago(database, THEN, retention=WIDE) as connection:
        yield connection


def accept_then(connection: Connection, count: int = 1) -> list[UUID]:
    """Messages with ids of the connection's time."""
    at = read_clock(connection)
    made = [msgspec.structs.replace(notification(f"user {number}"), id=id_at(at)) for number in range(count)]
    return accepted(connection, *made)


def settle(connection: Connection, message: UUID, outcome: Any = "sent", request: int = 1) -> None:
    """One attempt, and what became of it."""
    (won,) = claim(connection, [Record(message, request)], lease=60).values()
    retry_in = 86_400.0 if outcome == "failed" else None
    reason = None if outcome == "sent" else "so"
    settled = Outcome(id=message, attempt=won.attempt, outcome=outcome, reason=reason, retry_in=retry_in)
    record_outcomes(connection, [settled], dead_letters=DEAD_LETTERS)


def one_in_each_status(connection: Connection) -> dict[str, UUID]:
    made = dict(zip((*KEPT, *ENDED), accept_then(connection, len(KEPT + ENDED)), strict=True))
    for outcome in ("failed", "unknown", "dead", "sent"):
        settle(connection, made[outcome], outcome)
    claim(connection, [Record(made["sending"], 1)], lease=60)
    claim(connection, [Record(made["scheduled"], 1, destination="log", wait=3600.0)], lease=60)
    cancel(connection, made["cancelled"])
    return made


def publish(connection: Connection) -> None:
    """What the relay does, without a Kafka."""
    cursor = cursors.load(connection)
    while (page := read_page(connection, cursor, Limits(1000))).rows or cursor.target is not None:
        cursor = cursors.save(connection, page.cursor)
    cursors.save(connection, page.cursor)


def close(connection: Connection, *, retention: float = RETENTION) -> str | None:
    """Close the books as of the real time."""
    shift(connection, timedelta(0))
    return close_books(connection, retention=retention, at=read_clock(connection))


def begin(connection: Connection) -> None:
    """The first step of a closing, and nothing after it."""
    shift(connection, timedelta(0))
    ((has_begun,),) = fetch(connection, "SELECT closing_begin(clock_timestamp() - interval '2 hours', 10)")
    assert has_begun


def known(connection: Connection) -> set[UUID]:
    return {UUID(message) for (message,) in fetch(connection, "SELECT id::text FROM messages")}


def tables_beside(connection: Connection) -> list[tuple[str]]:
    """Tables of a closing that are not in their place."""
    return fetch(
        connection,
        "SELECT relname FROM pg_class WHERE relname ~ '_before_' AND relkind = 'r' AND NOT relispartition",
    )


def test_what_has_ended_leaves_and_what_has_not_is_carried_over(connection: Connection) -> None:
    made = one_in_each_status(connection)
    publish(connection)
    before = {status: read_stream(connection, made[status])[-1].version for status in KEPT}

    assert close(connection) is None

    assert known(connection) == {made[status] for status in KEPT}
    for status in KEPT:
        assert status_of(connection, made[status]) == status
        ((version, name),) = [(one.version, one.event.TYPE) for one in read_stream(connection, made[status])]
        assert (version, name) == (before[status] + 1, "message.carried")


def test_a_carried_message_goes_on_where_it_stood(connection: Connection) -> None:
    pending, dead = accept_then(connection, 2)
    settle(connection, dead, "dead")
    publish(connection)
    close(connection)

    settle(connection, pending, "sent")
    assert requeue(connection, [dead]) == [dead]
    settle(connection, dead, "sent", request=2)

    assert types_of(connection, pending) == ["carried", "started", "sent"]
    assert types_of(connection, dead) == ["carried", "requested", "started", "sent"]


def test_what_was_sent_again_still_names_the_first_after_that_has_left(connection: Connection) -> None:
    (first,) = accept_then(connection)
    cancel(connection, first)
    again = send_again(connection, first)
    assert again is not None
    publish(connection)

    assert close(connection) is None

    assert fetch(connection, "SELECT id::text, again_of::text FROM messages") == [(str(again.id), str(first))]
    assert send_again(connection, first) is None


def test_what_has_ended_a_moment_ago_stays_as_long_as_any_other(connection: Connection) -> None:
    (message,) = accept_then(connection)
    shift(connection, timedelta(0))
    settle(connection, message, "sent")
    publish(connection)
    assert close(connection) is None
    assert known(connection) == {message}

    shift(
        connection, timedelta(hours=10)
    )  # partitions of six hours: one of them is due by then, whatever the time of day
    assert close_books(connection, retention=RETENTION, at=read_clock(connection)) is None

    assert known(connection) == set()


def test_nothing_is_closed_twice(connection: Connection) -> None:
    publish(connection)
    close(connection)
    before = fetch(connection, "SELECT name FROM partitions ORDER BY 1")

    assert close(connection) is None

    assert fetch(connection, "SELECT name FROM partitions ORDER BY 1") == before


def test_what_the_relay_has_not_published_holds_the_books_open(connection: Connection) -> None:
    (message,) = accept_then(connection)
    cursors.load(connection)
    assert close(connection) == UNPUBLISHED
    assert fetch(connection, "SELECT waits_for FROM closing") == [(UNPUBLISHED,)]
    assert types_of(connection, message) == ["requested"]

    publish(connection)

    assert close(connection) is None
    assert types_of(connection, message) == ["carried"]


def test_the_reason_why_books_stay_open_is_logged_once_in_a_while(
    connection: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    accept_then(connection)
    shift(connection, timedelta(0))
    retention = Retention(RETENTION)

    retention.turn(connection)
    retention.turn(connection)

    assert capsys.readouterr().out.count("books_stay_open") == 1


def test_a_reader_that_keeps_its_transaction_open_stops_no_writer(connection: Connection, database: str) -> None:
    (message,) = accept_then(connection)
    settle(connection, message, "sent")
    publish(connection)
    with connected(database) as reader, connected(database) as writer:
        fetch(reader, "SELECT count(*) FROM messages")

        assert f"pid {reader.info.backend_pid} (test, postgres), open since " in str(close(connection))
        execute_and_commit(writer, "SET lock_timeout = '100ms'")
        accepted(writer, notification())

    assert close(connection) is None
    assert message not in known(connection)


def test_what_changes_while_the_books_are_being_closed_is_carried_as_it_is(connection: Connection) -> None:
    sent, requeued, cancelled, late = accept_then(connection, 4)
    settle(connection, requeued, "dead")
    settle(connection, late, "sent")
    publish(connection)
    begin(connection)
    assert fetch(connection, "SELECT closing_copy(%s)", STEP) == [(True,)]

    settle(connection, sent, "sent")
    requeue(connection, [requeued])
    cancel(connection, cancelled)
    record_outcomes(connection, [Outcome(id=late, attempt=1, outcome="failed")], dead_letters=DEAD_LETTERS)
    adopted = adopt_then(connection)
    settle(connection, adopted, "sent")
    publish(connection)
    assert close(connection) is None

    expected = {sent: "sent", requeued: "pending", cancelled: "cancelled", late: "sent", adopted: "sent"}
    assert {message: status_of(connection, message) for message in known(connection)} == expected


def test_what_is_older_than_everything_kept_finds_the_partition_of_what_was_carried_over(
    connection: Connection,
) -> None:
    (message,) = accept_then(connection)
    settle(connection, message, "sent")
    publish(connection)
    assert close(connection) is None
    assert message not in known(connection)

    oldest = adopt_as(connection, UUID(int=0))

    assert status_of(connection, oldest) == "pending"
    lowest = "SELECT name FROM partitions WHERE parent = 'messages' AND begins_at IS NULL"
    assert fetch(connection, "SELECT tableoid::regclass::text FROM messages") == fetch(connection, lowest)


def adopt_then(connection: Connection) -> UUID:
    """What another producer wrote fifteen hours ago, read only now."""
    return adopt_as(connection, id_at(read_clock(connection) + THEN))


def adopt_as(connection: Connection, found: UUID) -> UUID:
    data = msgspec.Raw(b'{"n": 1}')
    adopt(connection, [Foreign(id=found, topic="generic_topic", key=None, data=data, source="/elsewhere")])
    return found


@pytest.mark.parametrize(
    "steps",
    [
        [],
        ["closing_copy(2)"],
        ["closing_copy(2)", "closing_copy(2)"],
        ["closing_copy(100)", "closing_copy(100)"],
        ["closing_copy(100)", "closing_copy(100)", "closing_catch_up()"],
    ],
)
def test_a_closing_that_crashed_anywhere_goes_on_and_loses_nothing(
    connection: Connection, database: str, steps: list[str]
) -> None:
    made = one_in_each_status(connection)
    publish(connection)
    begin(connection)
    with connected(database) as crashed:
        for step in steps:
            execute_and_commit(crashed, f"SELECT {step}")
        settle(connection, made["pending"], "sent")
        publish(connection)
        fetch(crashed, "SELECT closing_finish()")  # rolled back: its session ends before the COMMIT
    assert known(connection) == set(made.values())

    assert close(connection) is None

    assert known(connection) == {made[status] for status in KEPT}
    assert status_of(connection, made["pending"]) == "sent"
    assert tables_beside(connection) == []
    assert fetch(connection, "SELECT * FROM closing_changes") == []


def test_a_longer_retention_begins_anew(connection: Connection) -> None:
    (message,) = accept_then(connection)
    settle(connection, message, "sent")
    publish(connection)
    begin(connection)

    assert close(connection, retention=WIDE) is None

    assert known(connection) == {message}
    assert tables_beside(connection) == []


def test_without_retention_nothing_of_a_closing_is_left(connection: Connection) -> None:
    accept_then(connection)
    begin(connection)
    (table, *_) = tables_beside(connection)

    Retention(None).turn(connection)

    assert table
    assert tables_beside(connection) == []
    assert fetch(connection, "SELECT * FROM pg_trigger WHERE tgname = 'closing_notes_changes'") == []


def test_a_closing_that_no_longer_fits_the_tables_is_begun_anew(connection: Connection) -> None:
    (message,) = accept_then(connection)
    publish(connection)
    begin(connection)
    execute_and_commit(connection, "ALTER TABLE messages ADD COLUMN mood text NOT NULL DEFAULT 'fine'")

    with pytest.raises(PostgresError):
        close(connection)

    assert close(connection) is None
    assert types_of(connection, message) == ["carried"]


@pytest.mark.parametrize("statement", ["UPDATE {table} SET type = 'x'", "DELETE FROM {table}"])
def test_the_log_is_append_only_in_the_new_partition_too(connection: Connection, statement: str) -> None:
    accept_then(connection)
    publish(connection)
    close(connection)
    ((table,),) = fetch(connection, "SELECT name FROM partitions WHERE parent = 'outbox' AND lower IS NULL")

    for part in ("outbox", table):
        with pytest.raises(errors.RestrictViolation, match="append-only"):
            execute_and_commit(connection, statement.format(table=part))


def test_more_partitions_than_one_closing_takes_are_closed_one_after_the_other(connection: Connection) -> None:
    for hours in (24, 42):
        at = read_clock(connection) + timedelta(hours=hours)
        make_partitions(connection, retention=WIDE, at=at)
    cursors.load(connection)

    for _ in range(3):
        assert close_books(connection, retention=RETENTION, at=at) is None

    ((oldest,),) = fetch(connection, "SELECT min(ends_at) FROM partitions")
    assert at - timedelta(hours=8) < oldest <= at - timedelta(hours=2)


def test_jobs_that_ended_long_ago_are_forgotten(connection: Connection) -> None:
    old, young, running = (str(id_at(read_clock(connection))) for _ in range(3))
    for job, finished in ((old, "3 hours"), (young, "1 hour"), (running, None)):
        execute_and_commit(
            connection,
            "INSERT INTO requeues (id, filter, rate, total, finished_at)"
            " VALUES (%s, '{}', 1, 1, pg_catalog.clock_timestamp() - %s::interval)",
            job,
            finished,
        )
    shift(connection, timedelta(0))

    Retention(RETENTION).turn(connection)

    assert fetch(connection, "SELECT id::text FROM requeues ORDER BY finished_at") == [(young,), (running,)]
