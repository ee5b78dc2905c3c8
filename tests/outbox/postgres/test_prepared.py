"""Statements that are planned once for each connection."""

import re
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from herald.outbox.moves.accept import Acceptance, accept, make_acceptance
from herald.outbox.moves.breakers import BreakerPolicy, report_outcomes
from herald.outbox.moves.claim import Record, claim
from herald.outbox.moves.record import Outcome, record_outcomes
from herald.outbox.postgres import prepared
from herald.outbox.postgres.connections import connect_watched
from herald.outbox.postgres.driver import Connection, errors
from herald.outbox.postgres.prepared import prepare
from herald.outbox.postgres.statements import execute, fetch, fetch_column, fetch_one, fetch_value
from herald.outbox.relay.cursor import load, save
from herald.outbox.relay.reader import Limits, list_page, read_page
from herald.outbox.relay.session import open_session
from herald.outbox.scheduler.due import request_due
from herald.outbox.settings import Settings
from tests.outbox.connections import make_settings, notification

SUM = prepare("sum", "SELECT %(a)s + %(b)s, 7 %% 4, 'a%%'", a="integer", b="integer")
PLANS = "SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE name = %s"
_SCAN = r" Scan (.* )?on (messages|outbox)_"
POLICY = BreakerPolicy(failures=3, base=1.0, cap=10.0)


@pytest.fixture
def settings(database: str) -> Settings:
    return make_settings(database)


@pytest.fixture
def steady(settings: Settings) -> Iterator[Connection]:
    with closing(connect_watched(settings, "test", is_steady=True)) as connection:
        yield connection


def test_a_statement_is_prepared_once_for_each_connection_and_planned_without_its_values(
    settings: Settings, steady: Connection
) -> None:
    for number in range(7):
        assert fetch_one(steady, SUM, {"a": number, "b": 1}) == (number + 1, 3, "a%")

    assert fetch(steady, PLANS, SUM.name) == [(7, 0)]
    with closing(connect_watched(settings, "test")) as another:
        assert fetch_value(another, SUM, {"a": 1, "b": 1}) == 2


def test_what_was_prepared_in_a_transaction_outlives_its_rollback(steady: Connection) -> None:
    fetch(steady, SUM, {"a": 1, "b": 1})
    steady.rollback()

    assert fetch_value(steady, SUM, {"a": 2, "b": 2}) == 4


@pytest.mark.parametrize("statement", ["DISCARD ALL", "DEALLOCATE ALL"])
def test_what_was_discarded_is_prepared_anew(steady: Connection, statement: str) -> None:
    steady.autocommit = True
    fetch(steady, SUM, {"a": 1, "b": 1})
    execute(steady, statement)

    assert fetch_value(steady, SUM, {"a": 2, "b": 2}) == 4


def test_in_a_transaction_that_failed_of_it_the_next_one_prepares_it(steady: Connection) -> None:
    fetch(steady, SUM, {"a": 1, "b": 1})
    execute(steady, "DEALLOCATE ALL")
    with pytest.raises(errors.InvalidSqlStatementName):
        fetch(steady, SUM, {"a": 2, "b": 2})
    steady.rollback()

    assert fetch_value(steady, SUM, {"a": 2, "b": 2}) == 4


def test_a_statement_that_the_session_has_already_is_not_prepared_twice(steady: Connection) -> None:
    steady.autocommit = True
    execute(steady, SUM.definition)

    assert fetch_value(steady, SUM, {"a": 2, "b": 2}) == 4


def test_a_plan_does_not_outlive_the_size_for_which_it_was_made(
    steady: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting = prepare("counting", "SELECT count(*) FROM pauses WHERE scope = %(scope)s", scope="text")
    monkeypatch.setattr(prepared, "PLANS_LAST", 3600.0)
    fetch(steady, counting, {"scope": "all"})
    execute(steady, "SET enable_indexscan = off; SET enable_indexonlyscan = off")
    before = _plan(steady, counting)

    monkeypatch.setattr(prepared, "PLANS_LAST", 0.0)
    fetch(steady, counting, {"scope": "all"})

    assert ("Index Only Scan" in before, "Index Only Scan" in _plan(steady, counting)) == (True, False)


def _plan(connection: Connection, statement: prepared.Prepared) -> str:
    return str(fetch(connection, f"EXPLAIN EXECUTE {statement.name} (NULL)"))


def test_statements_of_one_label_and_other_words_have_names_of_their_own() -> None:
    assert prepare("sum", "SELECT 1").name != prepare("sum", "SELECT 2").name
    assert prepare("sum", "SELECT 1") is prepare("sum", "SELECT 1")


def test_a_setting_of_the_transaction_goes_with_the_statement_alone(steady: Connection) -> None:
    steady.autocommit = True
    shown = prepare("shown", "SELECT current_setting('synchronous_commit')").under("SET LOCAL synchronous_commit = off")

    assert [fetch_value(steady, shown) for _ in range(2)] == ["off", "off"]
    assert fetch_value(steady, "SHOW synchronous_commit") == "on"


def _fill(connection: Connection, partitions: int) -> None:
    """A partition for each day and one for what is older, with a page of rows in each, as the planner knows."""
    now = datetime.now(UTC)
    for parent, name in fetch(connection, "SELECT parent, name FROM partitions"):
        execute(connection, f"ALTER TABLE {parent} DETACH PARTITION {name}; DROP TABLE {name}")
    days = [now - timedelta(days=back) for back in range(partitions - 2, -2, -1)]
    lower = None
    for day in days:
        upper = fetch_value(connection, "SELECT outbox_first_id(outbox_next_bound(%s, '1 day'))::text", day)
        for parent in ("outbox", "messages"):
            execute(connection, "SELECT outbox_add_partition(%s, %s::uuid, %s::uuid)", parent, lower, upper)
        lower = upper
    data = notification().data
    for day in days:
        first = int(day.timestamp() * 1000) << 80 | 7 << 76 | 2 << 62
        accept(connection, [Acceptance(UUID(int=first + n), "notifications", f"k{n}", data) for n in range(20)])
    execute(connection, "ANALYZE")
    assert len(set(fetch_column(connection, "SELECT tableoid FROM messages"))) == partitions


def _move(connection: Connection, session: Connection, settings: Settings) -> None:
    """Everything that is done thousands of times, once; the relay has a session of its own."""
    message = make_acceptance("notifications", "ada", b"{}")
    accept(connection, [message])
    assert claim(connection, [Record(message.id, 1, "log")], lease=60.0)
    claim(connection, [Record(message.id, 1, "log", is_strict=True)], lease=60.0)
    outcome = Outcome(id=message.id, attempt=1, outcome="failed", retry_in=0.0, destination="log", is_fault=True)
    record_outcomes(connection, [outcome], dead_letters="dead_letters")
    report_outcomes(connection, [outcome], POLICY)
    assert request_due(connection, settings) == 1
    cursor = load(session)
    page = read_page(session, cursor, Limits(10))
    assert len(page.rows) == 10
    read_page(session, page.cursor, Limits(10))
    list_page(session, list_page(session, cursor, Limits(10)).cursor, Limits(10))
    save(session, page.cursor)


def _scans(connection: Connection) -> Iterator[tuple[str, list[str]]]:
    """Of each prepared statement that reads messages or the log: how it finds their rows."""
    query = "SELECT name, parameter_types::text[] FROM pg_prepared_statements WHERE statement ~ 'messages|outbox'"
    for name, types in fetch(connection, query):
        given = ", ".join(f"NULL::{one}" for one in types)
        plan = fetch_column(connection, f"EXPLAIN (COSTS OFF) EXECUTE {name} ({given})")
        lines = zip(plan, [*plan[1:], ""], strict=True)
        yield name, [f"{line}\n{below}" for line, below in lines if re.search(_SCAN, line)]


@pytest.mark.parametrize("partitions", [2, 45])
def test_what_is_done_again_and_again_never_reads_a_whole_partition(
    settings: Settings, steady: Connection, partitions: int
) -> None:
    """Planned while each partition is a page, which is cheapest read as a whole; a minute later it may be thousands."""
    steady.autocommit = True
    _fill(steady, partitions)
    with closing(open_session(settings)) as session:
        _move(steady, session, settings)

        scans = dict([*_scans(steady), *_scans(session)])
    assert len(scans) == 10
    assert "Seq Scan" not in str(scans)
    by_id = {name: found for name, found in scans.items() if not name.startswith("herald_request")}
    assert [one for found in by_id.values() for one in found if "Cond:" not in one] == []
