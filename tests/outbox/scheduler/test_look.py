"""What the leading relay tells of the database, and that no question counts a table."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any
from uuid import UUID

import pytest

from benchmarks.growth.plans import EXPLAIN, explaining
from herald.outbox.message.dates import Dates
from herald.outbox.moves.accept import accept, make_acceptance
from herald.outbox.moves.claim import Record, claim
from herald.outbox.moves.pauses import pause, resume
from herald.outbox.moves.record import Outcome, record_outcomes
from herald.outbox.postgres.connections import connect
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import execute, fetch, fetch_value
from herald.outbox.registry import DEAD_LETTERS
from herald.outbox.relay import cursor as cursors
from herald.outbox.relay.reader import Limits, read_page
from herald.outbox.scheduler import look, sight
from herald.outbox.scheduler.look import HOLDERS, Looks
from herald.outbox.scheduler.sight import MOST_LOOKS, Sight
from herald.outbox.watched.relay import METRICS
from tests.outbox.connections import accepted, connected, execute_and_commit, make_settings, notification

TABLES = ("outbox", "messages", "waiting", "unsent", "breakers", "set_aside")
HOUR = 3600.0
LATE = 60.0  # seconds: what these tests wait for takes less


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    with connected(database) as connection:
        cursors.load(connection)
        connection.commit()
        connection.autocommit = True
        yield connection
    METRICS.forget()


def told(name: str, **labels: str) -> float | None:
    return METRICS.registry.get_sample_value(name, labels)


def publish(connection: Connection) -> None:
    """As far as the relay sees now."""
    cursor = cursors.load(connection)
    while (page := read_page(connection, cursor, Limits(1000))).rows:
        cursor = cursors.save(connection, page.cursor)


def send_long_ago(connection: Connection) -> None:
    """In the caller's transaction, written an hour ago."""
    accept(connection, [notification()])
    execute(connection, "ALTER TABLE outbox DISABLE TRIGGER USER")
    execute(connection, "UPDATE outbox SET recorded_at = recorded_at - interval '1 hour'")
    execute(connection, "ALTER TABLE outbox ENABLE TRIGGER USER")


def test_a_row_of_a_transaction_that_was_open_for_an_hour_is_not_an_hour_late(
    database: str, connection: Connection
) -> None:
    sees = Sight()
    with connected(database) as writer:
        send_long_ago(writer)
        assert waits(sees, connection) == 0.0, "nobody can see it"
        writer.commit()

        assert 0 < waits(sees, connection) < LATE, "since the look before"

    publish(connection)
    assert waits(sees, connection) == 0.0


def test_a_row_that_is_seen_and_not_published_grows_older_by_its_own_date(connection: Connection) -> None:
    sees = Sight()
    send_long_ago(connection)

    assert waits(sees, connection) > HOUR, "whoever leads anew knows no more than when it was written"


def test_what_became_visible_first_counts_and_not_what_began_first(database: str, connection: Connection) -> None:
    sees = Sight()
    with connected(database) as begun_first, connected(database) as begun_second:
        waits(sees, connection)
        accept(begun_first, [notification()])
        accepted(begun_second, notification())
        waits(sees, connection)
        before = age_of_log(connection)
        begun_first.commit()

        assert before <= waits(sees, connection) < LATE


def test_within_a_difference_the_rest_of_it_is_what_waits(connection: Connection) -> None:
    accepted(connection, *(notification() for _ in range(5)))
    page = read_page(connection, cursors.load(connection), Limits(2))
    cursors.save(connection, page.cursor)
    assert page.cursor.target is not None

    assert waits(Sight(), connection) > 0
    publish(connection)
    assert waits(Sight(), connection) == 0


def test_the_looks_that_are_remembered_stay_few_and_the_first_of_them_is_kept(
    database: str, connection: Connection
) -> None:
    sees = Sight()
    with connected(database) as writer:
        send_long_ago(writer)
        waits(sees, connection)
        first = sees.dates[0]
        writer.commit()
    for _ in range(3 * MOST_LOOKS):
        waits(sees, connection)

    assert len(sees.dates) <= MOST_LOOKS
    assert sees.dates[0] == first
    assert waits(sees, connection) < LATE
    publish(connection)
    waits(sees, connection)
    assert len(sees.dates) <= 2


def test_a_key_of_a_strict_topic_is_blocked_while_others_wait_behind_one_that_is_not_over(
    connection: Connection,
) -> None:
    blocked, alone, loose = ([keyed(key) for _ in range(2)] for key in ("blocked", "alone", "loose"))
    for first in (blocked[0], alone[0], loose[0]):
        accepted(connection, first)
        fail(connection, first.id)
    for second in (blocked[1], loose[1]):
        accepted(connection, second)
        claim(connection, [Record(second.id, 1, is_strict=second is blocked[1])], lease=60)
    later = make_acceptance("generic_topic", "alone", b"{}", dates=Dates(deliver_at=fetch_value(connection, TOMORROW)))
    accepted(connection, later)

    Looks(settings(strict_topics=["generic_topic"])).look(connection)

    assert told("herald_blocked_keys") == 1
    Looks(settings()).look(connection)
    assert told("herald_blocked_keys") == 0


def test_who_holds_the_horizon_is_told_by_its_kind(database: str, connection: Connection) -> None:
    with connected(database) as other:
        execute(other, "SELECT pg_current_xact_id(), pg_sleep(0)")
        execute_and_commit(connection, "SELECT")
        Looks(settings()).look(connection)
        assert (told("herald_horizon_seconds", held_by="session") or 0) > 0
        other.rollback()
    assert told("herald_horizon_seconds", held_by="prepared") == 0

    with closing(connect(make_settings(database), "test")) as other:
        execute(other, "SELECT pg_current_xact_id()")
        execute(other, "PREPARE TRANSACTION 'forgotten'")
    Looks(settings()).look(connection)
    execute(connection, "ROLLBACK PREPARED 'forgotten'")

    assert (told("herald_horizon_seconds", held_by="prepared") or 0) > 0
    assert [told("herald_horizon_seconds", held_by=one) is not None for one in HOLDERS] == [True] * len(HOLDERS)


def test_how_far_partitions_reach_is_told(connection: Connection) -> None:
    Looks(settings()).look(connection)

    assert 35 * 24 * HOUR < (told("herald_partitions_ahead_seconds") or 0) < 100 * 24 * HOUR


TOMORROW = "SELECT clock_timestamp() + interval '1 day'"
MESSAGES, BOUND = 1_000, 10  # of each kind, and how many a question may count here
MOST_READ = 10 * BOUND  # rows: there are ten priorities


@pytest.fixture
def large(connection: Connection) -> Connection:
    """Rather: so many messages of each kind that whoever reads all of them is seen."""
    waiting, dead = ([keyed(f"{kind}-{number}") for number in range(MESSAGES)] for kind in ("waits", "dies"))
    accepted(connection, *waiting, *dead)
    pause(connection, "all")
    claim(connection, [Record(one.id, 1) for one in waiting], lease=60)
    resume(connection, "all")
    claim(connection, [Record(one.id, 1) for one in dead], lease=60)
    outcomes = [Outcome(id=one.id, attempt=1, outcome="dead", reason="no") for one in dead]
    record_outcomes(connection, outcomes, dead_letters=DEAD_LETTERS)
    execute(connection, "ANALYZE")
    return connection


@pytest.mark.parametrize("is_within", [False, True])
def test_no_question_counts_a_table(large: Connection, monkeypatch: pytest.MonkeyPatch, *, is_within: bool) -> None:
    if is_within:
        cursors.save(large, read_page(large, cursors.load(large), Limits(BOUND)).cursor)
    monkeypatch.setattr(look, "_MOST", dict.fromkeys(("first", "most", "behind"), BOUND))
    monkeypatch.setattr(sight, "ROWS", BOUND)
    looks = Looks(settings(strict_topics=["generic_topic"]))

    with explaining([large]) as found:
        looks.look(large)

    assert len(found) == 8
    execute(large, look.PLAN)
    read = {one.statement: max(rows_of(node) for node in nodes(plan_of(large, one.statement))) for one in found}
    assert {statement: rows for statement, rows in read.items() if rows > MOST_READ} == {}


def plan_of(connection: Connection, statement: str) -> dict[str, Any]:
    (((found,),),) = fetch(connection, f"{EXPLAIN} {statement}")
    plan: dict[str, Any] = found["Plan"]
    return plan


def nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All of a plan that read a table."""
    if "Relation Name" in node:
        yield node
    for below in node.get("Plans", []):
        yield from nodes(below)


def rows_of(node: dict[str, Any]) -> float:
    each = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
    return float(each * node["Actual Loops"]) if node["Relation Name"].partition("_y")[0] in TABLES else 0.0


def waits(sees: Sight, connection: Connection) -> float:
    found = sees.look(connection)
    assert found is not None
    return found[1]


def age_of_log(connection: Connection) -> float:
    return float(fetch_value(connection, "SELECT extract(epoch FROM clock_timestamp() - max(recorded_at)) FROM outbox"))


def settings(**others: Any) -> Any:
    return make_settings("postgresql://nowhere/herald", **others)


def keyed(key: str) -> Any:
    return make_acceptance("generic_topic", key, b"{}")


def fail(connection: Connection, message: UUID) -> None:
    claim(connection, [Record(message, 1)], lease=60)
    record_outcomes(
        connection,
        [Outcome(id=message, attempt=1, outcome="failed", reason="no", retry_in=3600.0)],
        dead_letters=DEAD_LETTERS,
    )
