"""Partitions made ahead: how wide they are, that none is missing, and that a changed width takes effect."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from herald.outbox.postgres.connections import read_clock
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.locks import BOOKS, try_lock, unlock
from herald.outbox.postgres.statements import fetch
from herald.outbox.scheduler import partitions
from herald.outbox.scheduler.partitions import make_partitions, width_for
from tests.outbox.connections import accepted, connected, execute_and_commit, notification
from tests.outbox.scheduler.simulated_clock import id_at

HOUR = 3600.0  # seconds
DAY = 24 * HOUR
LOCKS = """
SELECT FROM pg_locks
WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
NOON = datetime(2027, 3, 3, 12, tzinfo=UTC)  # a Wednesday, after everything that the migration made


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    with connected(database) as connection:
        connection.autocommit = True
        yield connection


def bounds(connection: Connection, parent: str = "messages") -> list[tuple[datetime | None, datetime]]:
    return fetch(connection, "SELECT begins_at, ends_at FROM partitions WHERE parent = %s ORDER BY ends_at", parent)


def assert_no_gaps(connection: Connection) -> None:
    found = bounds(connection)
    assert found == bounds(connection, "outbox")
    assert [begins for begins, _ in found] == [None, *(ends for _, ends in found[:-1])]


@pytest.mark.parametrize(
    ("retention", "width"),
    [
        (None, "1 month"),
        (2 * HOUR, "1 hour"),
        (DAY, "6 hours"),
        (3 * DAY, "1 day"),
        (30 * DAY, "7 days"),
        (365 * DAY, "1 month"),
    ],
)
def test_the_width_follows_from_the_retention(retention: float | None, width: str) -> None:
    assert width_for(retention) == width


def test_months_are_made_once(connection: Connection) -> None:
    before = bounds(connection)
    now = read_clock(connection)

    make_partitions(connection, retention=None, at=now)

    assert bounds(connection) == before
    assert len(before) in {2, 3}


def test_a_month_that_is_missing_is_made(connection: Connection) -> None:
    before = bounds(connection)
    ((last,),) = fetch(
        connection, "SELECT name FROM partitions WHERE parent = 'messages' ORDER BY ends_at DESC LIMIT 1"
    )
    now = read_clock(connection)
    execute_and_commit(connection, f"DROP TABLE {last}")

    make_partitions(connection, retention=None, at=now)

    assert bounds(connection) == before


@pytest.mark.parametrize("retention", [2 * HOUR, DAY, 3 * DAY, 30 * DAY, None])
def test_partitions_reach_35_days_ahead_and_leave_no_gap(connection: Connection, retention: float | None) -> None:
    for hours in (0, 7, 40):
        make_partitions(connection, retention=retention, at=NOON + timedelta(hours=hours))

    assert_no_gaps(connection)
    found = bounds(connection)
    assert found[-1][1] >= NOON + timedelta(hours=40, days=35)


def test_of_what_reaches_far_only_the_next_day_is_narrow(connection: Connection) -> None:
    for hours in (0, 2, 27):
        now = NOON + timedelta(hours=hours)
        make_partitions(connection, retention=2 * HOUR, at=now)
        accepted(connection, msgspec.structs.replace(notification(), id=id_at(now)))

        soon = [(begins, ends) for begins, ends in bounds(connection) if ends > now + timedelta(hours=1) and begins]
        near = [one for one in soon if one[0] < now + timedelta(days=1)]
        assert {ends - begins for begins, ends in near} == {timedelta(hours=1)}
        assert len(soon) - len(near) <= 3
    assert_no_gaps(connection)


def test_a_changed_width_begins_where_the_newest_partition_ends(connection: Connection) -> None:
    for retention in (3 * DAY, 30 * DAY, DAY, None, DAY):
        at = bounds(connection)[-1][1] - timedelta(hours=1)
        make_partitions(connection, retention=retention, at=at)
        accepted(connection, msgspec.structs.replace(notification(), id=id_at(at)))

    assert_no_gaps(connection)


def test_a_wide_partition_with_little_in_it_is_cut_behind_its_newest_id(connection: Connection) -> None:
    make_partitions(connection, retention=None, at=NOON)
    accepted(connection, msgspec.structs.replace(notification(), id=id_at(NOON + timedelta(hours=3, minutes=30))))

    make_partitions(connection, retention=2 * HOUR, at=NOON)

    assert_no_gaps(connection)
    found = bounds(connection)
    cut = NOON + timedelta(hours=4)
    assert (NOON + timedelta(hours=4), NOON + timedelta(hours=5)) in found
    assert max(ends for begins, ends in found if begins is None or begins < NOON) == cut


def test_a_wide_partition_with_much_in_it_stays_as_it_is(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_partitions(connection, retention=None, at=NOON)
    accepted(connection, msgspec.structs.replace(notification(), id=id_at(NOON)))
    monkeypatch.setattr(partitions, "SMALL", 0)
    before = bounds(connection)

    make_partitions(connection, retention=2 * HOUR, at=NOON)

    assert [one for one in bounds(connection) if one[0] is None or one[0] < NOON] == [
        one for one in before if one[0] is None or one[0] < NOON
    ]
    assert_no_gaps(connection)


def test_a_rebuild_that_goes_on_delays_a_cut(connection: Connection, database: str) -> None:
    make_partitions(connection, retention=None, at=NOON)
    with connected(database) as rebuilding:
        assert try_lock(rebuilding, BOOKS)
        make_partitions(connection, retention=2 * HOUR, at=NOON)
        assert all(ends - begins > timedelta(days=1) for begins, ends in bounds(connection) if begins)
        unlock(rebuilding, BOOKS)  # a session that was closed may hold it for a moment longer

    make_partitions(connection, retention=2 * HOUR, at=NOON)

    assert (NOON + timedelta(hours=24), NOON + timedelta(hours=25)) in bounds(connection)
    assert fetch(connection, LOCKS) == []


def test_who_holds_a_lock_delays_a_cut_and_nothing_else(connection: Connection, database: str) -> None:
    make_partitions(connection, retention=None, at=NOON)
    with connected(database) as reader:
        fetch(reader, "SELECT count(*) FROM messages")
        make_partitions(connection, retention=2 * HOUR, at=NOON)
        assert all(ends - begins > timedelta(days=1) for begins, ends in bounds(connection) if begins)

    make_partitions(connection, retention=2 * HOUR, at=NOON)

    assert (NOON + timedelta(hours=24), NOON + timedelta(hours=25)) in bounds(connection)
