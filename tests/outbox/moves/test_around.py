"""A duty's batch that fails for one message's sake: the others go on, and that one ends with the error's text."""

from collections.abc import Callable, Iterator
from uuid import UUID

import pytest

from herald.outbox.desk.filters import Filter
from herald.outbox.desk.jobs import find_job, make_job
from herald.outbox.moves import request_again as requests
from herald.outbox.moves.around import LEFT_ALONE, Around
from herald.outbox.moves.claim import Record, claim
from herald.outbox.moves.expire import expire
from herald.outbox.moves.request_again import Choice, pending_that, request_again
from herald.outbox.moves.settle import settle_leases
from herald.outbox.postgres.driver import Connection, PostgresError
from herald.outbox.postgres.statements import fetch
from herald.outbox.scheduler.due import request_due
from herald.outbox.scheduler.requeue import requeue_step
from herald.outbox.scheduler.schedule import Duty, Scheduler, running
from tests.outbox.connections import accepted as accept_and_commit
from tests.outbox.connections import (
    change,
    compared,
    connected,
    execute_and_commit,
    make_settings,
    notification,
    status_of,
)
from tests.servers.eventually import eventually

SETTINGS = make_settings("postgresql://nowhere/herald")
REFUSE = """
CREATE TABLE refused (id uuid, type text, code text);
GRANT SELECT ON refused TO PUBLIC;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    reason text := (SELECT code FROM refused WHERE coalesce(id = NEW.stream_id, true) AND NEW.type LIKE type LIMIT 1);
BEGIN
    IF reason IS NOT NULL THEN
        RAISE EXCEPTION 'not this one' USING ERRCODE = reason;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER refuses BEFORE INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION refuse();
"""


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    with compared(database) as connection:
        execute_and_commit(connection, REFUSE)
        connection.autocommit = True
        yield connection
        connection.autocommit = False


@pytest.fixture
def around(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """One without a past, and its clock."""
    clock = [0.0]
    monkeypatch.setattr(requests, "AROUND", Around(lambda: clock[0]))
    return clock


def refuse(connection: Connection, message: UUID | None, code: str, *, type: str = "message.%") -> None:  # noqa: A002 - the column's name
    execute_and_commit(
        connection, "INSERT INTO refused VALUES (%s, %s, %s)", None if message is None else str(message), type, code
    )


def accepted(connection: Connection, count: int = 5) -> list[UUID]:
    return accept_and_commit(connection, *(notification(str(number)) for number in range(count)))


def request(connection: Connection) -> int:
    return len(request_again(connection, Choice(pending_that("true"), {}, "'lost'"), limit=1000))


def make_due(connection: Connection, _: UUID) -> None:
    change(connection, "UPDATE messages SET status = 'scheduled', due_at = clock_timestamp()")


def make_late(connection: Connection, _: UUID) -> None:
    change(connection, "UPDATE messages SET deliver_by = clock_timestamp()")


def make_begun(connection: Connection, _: UUID) -> None:
    ids = [UUID(one) for (one,) in fetch(connection, "SELECT id::text FROM messages")]
    claim(connection, [Record(one, 1) for one in ids], lease=60)
    change(connection, "UPDATE messages SET due_at = clock_timestamp()")


@pytest.mark.parametrize(
    ("prepare", "duty", "ends"),
    [
        (make_due, lambda connection: request_due(connection, SETTINGS), "pending"),
        (make_late, expire, "expired"),
        (make_begun, lambda connection: settle_leases(connection, SETTINGS), "failed"),
    ],
    ids=["due", "expiry", "leases"],
)
def test_one_message_for_whose_sake_a_duty_fails_ends_alone(
    database: str,
    prepare: Callable[[Connection, UUID], None],
    duty: Callable[[Connection], object],
    ends: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with connected(database) as connection:
        execute_and_commit(connection, REFUSE)
        connection.autocommit = True
        *others, bad = accepted(connection)
        prepare(connection, bad)
        for what in ("requested", "expired", "unknown"):
            refuse(connection, bad, "P0001", type=f"message.{what}")

        duty(connection)

        assert {status_of(connection, one) for one in others} == {ends}
        ((status, reason),) = fetch(connection, "SELECT status, reason FROM messages WHERE id = %s", str(bad))
        assert (status, reason) == ("dead", "PostgreSQL refuses it: not this one")
    assert "Traceback" in capsys.readouterr().out


def test_what_cannot_even_be_ended_is_left_alone_for_a_minute(connection: Connection, around: list[float]) -> None:
    *others, bad = accepted(connection)
    refuse(connection, bad, "P0001")

    assert request(connection) == len(others)
    assert status_of(connection, bad) == "pending"

    execute_and_commit(connection, "DELETE FROM refused")
    assert request(connection) == len(others)
    around[0] = LEFT_ALONE + 1
    assert request(connection) == len(others) + 1


def test_an_error_that_blames_nobody_ends_a_message_the_third_time_only(
    connection: Connection, around: list[float]
) -> None:
    *others, bad = accepted(connection)
    refuse(connection, bad, "XX001", type="message.requested")

    for turn in range(3):
        assert status_of(connection, bad) == "pending"
        around[0] = 2.0 * turn
        assert request(connection) == len(others)

    assert status_of(connection, bad) == "dead"


@pytest.mark.parametrize("code", ["P0001", "42501", "25006", "53100", "XX000", "22000"])
@pytest.mark.parametrize("count", [1, 5])
def test_nobody_ends_where_nothing_can_be_written(
    connection: Connection, around: list[float], code: str, count: int
) -> None:
    messages = accepted(connection, count)
    refuse(connection, None, code)

    for turn in range(4):
        around[0] = 2.0 * turn
        with pytest.raises(PostgresError, match="not this one"):
            request(connection)

    assert {status_of(connection, one) for one in messages} == {"pending"}


@pytest.mark.parametrize("code", ["53100", "42501", "XX001"])
def test_a_message_alone_does_not_end_by_an_error_that_blames_nobody(
    connection: Connection, around: list[float], code: str
) -> None:
    (alone,) = accepted(connection, 1)
    refuse(connection, alone, code)

    for turn in range(4):
        around[0] = 2.0 * turn
        with pytest.raises(PostgresError):
            request(connection)

    assert status_of(connection, alone) == "pending"


def test_above_twenty_a_minute_no_more_are_ended(connection: Connection, around: list[float]) -> None:
    accepted(connection, 22)
    refuse(connection, None, "P0001", type="message.requested")
    good = accepted_in_spite(connection)

    request(connection)

    assert status_of(connection, good) == "pending"
    assert fetch(connection, "SELECT count(*) FROM messages WHERE status = 'dead'") == [(20,)]
    assert around == [0.0]


def accepted_in_spite(connection: Connection) -> UUID:
    """One that nothing refuses."""
    execute_and_commit(connection, "ALTER TABLE outbox DISABLE TRIGGER refuses")
    (good,) = accepted(connection, 1)
    execute_and_commit(connection, "ALTER TABLE outbox ENABLE TRIGGER refuses")
    execute_and_commit(connection, "DELETE FROM refused")
    execute_and_commit(
        connection,
        "INSERT INTO refused SELECT id, 'message.requested', 'P0001' FROM messages WHERE id <> %s",
        str(good),
    )
    return good


def test_a_job_passes_a_dead_letter_that_cannot_be_requeued(database: str) -> None:
    with connected(database) as connection:
        execute_and_commit(connection, REFUSE)
        connection.autocommit = True
        *others, bad = accepted(connection)
        change(connection, "UPDATE messages SET status = 'dead'")
        refuse(connection, bad, "P0001", type="message.requested")
        job = make_job(connection, Filter(), rate=10_000)

        eventually(lambda: requeue_step(connection) and True, 5)

        assert {status_of(connection, one) for one in others} == {"pending"}
        assert status_of(connection, bad) == "dead"
        found = eventually(lambda: (requeue_step(connection), find_job(connection, job.id))[1], 5)
        assert found is not None
        assert found.done == len(others)


def test_a_duty_that_goes_on_failing_is_logged_once_with_its_trace(
    database: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("herald.outbox.scheduler.schedule.REST", 0.01)
    turns: list[Connection] = []

    def fail(connection: Connection) -> None:
        turns.append(connection)
        message = "a bug"
        raise KeyError(message)

    scheduler = Scheduler(make_settings(database), [Duty(0.01, fail, name="bad")], name="test")
    with running([scheduler]):
        eventually(lambda: len(turns) > 3)

    told = capsys.readouterr().out
    assert told.count("duty_failed") == 1
    assert "Traceback" in told
    assert len({id(connection) for connection in turns}) > 1
