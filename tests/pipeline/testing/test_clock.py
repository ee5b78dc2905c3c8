"""The clock of a database that a test moves: nothing of Herald escapes it."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from herald.outbox.acceptance.expired_keys import empty_expired_keys
from herald.outbox.acceptance.idempotency import TABLES, find, make_request_key, remember
from herald.outbox.message.dates import Dates
from herald.outbox.moves.accept import make_acceptance
from herald.outbox.moves.claim import Record, claim
from herald.outbox.moves.expire import expire
from herald.outbox.moves.settle import settle_leases
from herald.outbox.postgres.connections import read_clock
from herald.outbox.postgres.driver import Connection, errors
from herald.outbox.postgres.statements import fetch
from herald.outbox.scheduler.due import request_due
from herald.outbox.scheduler.partitions import make_partitions
from herald.pipeline.testing.clock import VirtualClock
from tests.conftest import ROOT, migrate
from tests.outbox.connections import (
    accepted,
    compared,
    connected,
    execute_and_commit,
    make_settings,
    notification,
    status_of,
)

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
ESCAPES = re.compile(
    r"pg_catalog\.(?:clock_timestamp|now)|(?<![.\w])(?:now|statement_timestamp|transaction_timestamp)\(\)"
    r"|current_time|current_date|localtime"
)
DEFINITIONS = """
SELECT adrelid::regclass || '.' || adnum, pg_get_expr(adbin, adrelid) FROM pg_attrdef
    JOIN pg_class AS c ON c.oid = adrelid WHERE relnamespace = 'herald'::regnamespace
UNION ALL SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'herald'::regnamespace
UNION ALL SELECT viewname, definition FROM pg_views WHERE schemaname = 'herald'
UNION ALL SELECT proname, pg_get_functiondef(oid) FROM pg_proc
    WHERE pronamespace = 'herald'::regnamespace AND proname <> 'clock_timestamp'
"""


@pytest.fixture
def clock(database: str) -> VirtualClock:
    clock = VirtualClock(database)
    clock.install()
    return clock


@pytest.fixture
def connection(database: str, clock: VirtualClock) -> Iterator[Connection]:
    assert clock.now()
    with compared(database) as connection:
        yield connection


def later(connection: Connection, dates: Dates) -> UUID:
    message = make_acceptance("generic_topic", None, b"{}", dates=dates)
    return accepted(connection, message)[0]


def test_the_clock_shows_the_true_time_until_it_is_moved(clock: VirtualClock) -> None:
    assert abs(clock.now() - datetime.now(UTC)) < MINUTE


def test_every_connection_sees_the_new_time_at_once(clock: VirtualClock, connection: Connection) -> None:
    before = read_clock(connection)

    moved_to = clock.advance(days=1, hours=1)

    after = read_clock(connection)
    assert after >= moved_to >= before + DAY + timedelta(hours=1)
    assert after - before < DAY + timedelta(hours=1) + MINUTE


def test_the_clock_goes_on_from_where_it_was_set(clock: VirtualClock) -> None:
    christmas = datetime(2031, 12, 24, 18, tzinfo=UTC)

    clock.set(christmas)

    assert christmas < clock.now() < christmas + MINUTE


def test_the_clock_may_be_moved_back(clock: VirtualClock) -> None:
    clock.advance(hours=-5)

    assert clock.now() < datetime.now(UTC) - timedelta(hours=4)


@pytest.mark.parametrize("days", [-30_000, 3_000_000])
def test_a_time_that_nobody_could_read_is_refused(clock: VirtualClock, days: float) -> None:
    with pytest.raises(ValueError, match="leads out of the years 1970 to 9998"):
        clock.advance(days=days)

    assert abs(clock.now() - datetime.now(UTC)) < MINUTE


def test_a_date_without_a_time_zone_is_refused(clock: VirtualClock) -> None:
    with pytest.raises(ValueError, match="when: 2030-01-01 00:00:00 has no time zone"):
        clock.set(datetime(2030, 1, 1))  # noqa: DTZ001 - what is refused


def test_what_is_due_in_23_hours_is_requested_after_a_day(clock: VirtualClock, connection: Connection) -> None:
    settings = make_settings("postgresql://nowhere")
    message = later(connection, Dates(deliver_at=clock.now() + timedelta(hours=23)))
    assert request_due(connection, settings) == 0

    clock.advance(days=1)

    assert request_due(connection, settings) == 1
    assert status_of(connection, message) == "pending"


def test_a_message_expires_after_its_last_date(clock: VirtualClock, connection: Connection) -> None:
    message = later(connection, Dates(deliver_by=clock.now() + timedelta(hours=23)))

    clock.advance(days=1)
    expire(connection)

    assert status_of(connection, message) == "expired"


def test_a_lease_ends(clock: VirtualClock, connection: Connection) -> None:
    (message,) = accepted(connection, notification())
    assert claim(connection, [Record(message, 1)], lease=60.0)
    connection.commit()

    clock.advance(seconds=61)
    settle_leases(connection, make_settings("postgresql://nowhere"))

    assert status_of(connection, message) == "failed"


def test_an_idempotency_key_expires(clock: VirtualClock, connection: Connection) -> None:
    request = make_request_key("k", method="POST", path="/messages", body=b"{}")
    assert find(connection, request) is None
    remember(connection, request, [uuid4()], ttl=3600.0)
    connection.commit()
    assert find(connection, request) is not None

    clock.advance(hours=2)
    assert find(connection, request) is None
    connection.rollback()

    empty_expired_keys(connection)
    connection.commit()
    assert [fetch(connection, f"SELECT count(*) FROM {table}") for table in TABLES] == [[(0,)], [(0,)]]


def test_partitions_are_made_for_the_month_that_the_clock_shows(clock: VirtualClock, connection: Connection) -> None:
    clock.set(datetime(2040, 5, 15, tzinfo=UTC))
    make_partitions(connection, retention=None, at=read_clock(connection))

    ((newest,),) = fetch(connection, "SELECT max(ends_at) FROM partitions")
    assert newest == datetime(2040, 7, 1, tzinfo=UTC)


def test_column_defaults_follow_the_clock(clock: VirtualClock, connection: Connection) -> None:
    clock.advance(days=1)

    execute_and_commit(connection, "INSERT INTO pauses (scope) VALUES ('all')")

    ((paused_at,),) = fetch(connection, "SELECT paused_at FROM pauses")
    assert paused_at > datetime.now(UTC) + DAY - MINUTE


def test_nothing_in_the_database_escapes_the_clock(clock: VirtualClock, connection: Connection) -> None:
    clock.advance(days=1)

    definitions = fetch(connection, DEFINITIONS)

    assert len(definitions) > 20
    assert [name for name, text in definitions if ESCAPES.search(text.lower())] == []


def test_no_statement_asks_for_another_time() -> None:
    sources = [path for name in ("api", "outbox", "alembic", "pipeline") for path in (ROOT / name).rglob("*.py")]
    elsewhere = [path for path in sources if path != ROOT / "pipeline" / "testing" / "clock.py"]

    assert [path for path in elsewhere if ESCAPES.search(path.read_text(encoding="utf-8").lower())] == []


def test_a_schema_may_have_the_clock_before_its_tables(empty_database: str) -> None:
    with connected(empty_database) as connection:
        execute_and_commit(connection, "CREATE SCHEMA herald")
    clock = VirtualClock(empty_database)
    clock.install()

    migrate(empty_database)

    clock.advance(days=1)
    with compared(empty_database) as connection:
        assert fetch(connection, "SELECT to_regclass('outbox') IS NOT NULL") == [(True,)]
        assert [name for name, text in fetch(connection, DEFINITIONS) if ESCAPES.search(text.lower())] == []


def test_a_second_clock_is_refused(clock: VirtualClock) -> None:
    with pytest.raises(errors.DuplicateTable):
        clock.install()
