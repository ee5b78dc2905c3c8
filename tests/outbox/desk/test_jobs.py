"""Requeuing many: exactly those that fit, none twice, at the rate, and no loss at a crash."""

import contextlib
from collections.abc import Iterator

import msgspec
import pytest

from herald.outbox.desk.filters import Filter
from herald.outbox.desk.jobs import CATCH_UP, Job, find_job, list_jobs, make_job, step, stop_job
from herald.outbox.postgres.driver import Connection, errors
from herald.outbox.postgres.statements import fetch
from herald.outbox.scheduler.requeue import requeue_step
from tests.outbox.connections import connected, execute_and_commit
from tests.outbox.desk.conftest import Bury
from tests.servers.eventually import eventually

STATUSES = "SELECT status, count(*) FROM messages GROUP BY status"


@pytest.fixture
def scheduler(database: str) -> Iterator[Connection]:
    with connected(database) as connection:
        connection.autocommit = True
        yield connection


def made(connection: Connection, chosen: Filter, *, rate: float) -> Job:
    job = make_job(connection, chosen, rate=rate)
    connection.commit()
    return job


def done_of(connection: Connection, job: Job) -> int:
    return int(fetch(connection, f"SELECT done FROM requeues WHERE id = '{job.id}'")[0][0])


def pass_time(connection: Connection, seconds: float) -> None:
    """As if the last step were so long ago."""
    execute_and_commit(
        connection, "UPDATE requeues SET last_step_at = clock_timestamp() - make_interval(secs => %s)", seconds
    )


def test_a_job_requeues_exactly_what_fits_at_its_rate(connection: Connection, bury: Bury) -> None:
    bury("HTTP 500", 25)
    bury("HTTP 404", 5)
    job = made(connection, Filter(error="HTTP 500"), rate=5.0)
    assert (job.total, job.done, job.status) == (25, 0, "running")

    steps = []
    while find_job(connection, job.id).status == "running":  # type: ignore[union-attr]
        pass_time(connection, 60.0)  # it makes up for two seconds of that, so 10 at once
        steps.append(step(connection))

    assert steps == [10, 10, 5]
    assert dict(fetch(connection, STATUSES)) == {"pending": 25, "dead": 5}
    found = find_job(connection, job.id)
    assert found is not None
    assert (found.done, found.status) == (25, "finished")


def test_nothing_is_requeued_before_its_time(connection: Connection, bury: Bury) -> None:
    bury(count=3)
    made(connection, Filter(), rate=0.01)

    assert step(connection) == 0


def test_a_rate_holds_though_a_step_has_no_whole_number_of_messages(connection: Connection, bury: Bury) -> None:
    bury(count=25)
    made(connection, Filter(), rate=9.0)

    done = 0
    for _ in range(10):
        execute_and_commit(connection, "UPDATE requeues SET last_step_at = last_step_at - interval '0.2 seconds'")
        done += step(connection)

    assert done >= 17  # 18 for the two seconds, and what the test itself takes


def test_a_job_that_fails_does_not_hold_up_the_others(
    connection: Connection, scheduler: Connection, bury: Bury
) -> None:
    bury(count=5)
    broken = made(connection, Filter(), rate=5.0)
    execute_and_commit(connection, 'UPDATE requeues SET filter = \'{"of": "a later release"}\'')
    whole = made(connection, Filter(), rate=5.0)
    pass_time(connection, 1.0)
    connection.commit()

    def whole_is_done() -> bool:
        with contextlib.suppress(msgspec.ValidationError):
            requeue_step(scheduler)
        return done_of(scheduler, whole) == 5

    eventually(whole_is_done, what="the other job does its work")
    assert done_of(scheduler, broken) == 0


def test_a_slow_job_does_not_hold_up_the_next(connection: Connection, bury: Bury) -> None:
    bury("HTTP 404", 5)
    bury("HTTP 500", 5)
    made(connection, Filter(error="HTTP 404"), rate=0.01)
    made(connection, Filter(error="HTTP 500"), rate=5.0)
    pass_time(connection, 1.0)

    assert step(connection) == 5


def test_a_long_pause_is_not_made_up_for_at_once(connection: Connection, bury: Bury) -> None:
    bury(count=5)
    made(connection, Filter(), rate=1.0)
    pass_time(connection, 3600.0)

    assert step(connection) == CATCH_UP
    assert step(connection) == 0


def test_a_rate_below_one_goes_on_after_a_long_pause(connection: Connection, bury: Bury) -> None:
    bury(count=3)
    made(connection, Filter(), rate=0.01)
    pass_time(connection, 3600.0)

    assert [step(connection), step(connection)] == [1, 0]


def test_what_dies_again_is_not_requeued_by_the_same_job(connection: Connection, bury: Bury) -> None:
    bury(count=2)
    job = made(connection, Filter(), rate=1.0)
    bury(count=2)

    for _ in range(5):
        pass_time(connection, 1.0)
        step(connection)

    found = find_job(connection, job.id)
    assert found is not None
    assert (found.done, found.status) == (2, "finished")
    assert dict(fetch(connection, STATUSES)) == {"pending": 2, "dead": 2}


def test_a_step_that_crashes_has_neither_requeued_nor_counted(
    connection: Connection, scheduler: Connection, bury: Bury
) -> None:
    bury(count=5)
    job = made(connection, Filter(), rate=5.0)
    pass_time(connection, 1.0)

    execute_and_commit(connection, "ALTER TABLE requeues ADD CONSTRAINT nothing_is_done CHECK (done = 0)")
    with pytest.raises(errors.CheckViolation, match="nothing_is_done"):
        requeue_step(scheduler)
    execute_and_commit(connection, "ALTER TABLE requeues DROP CONSTRAINT nothing_is_done")

    assert (done_of(connection, job), dict(fetch(connection, STATUSES))) == (0, {"dead": 5})
    assert requeue_step(scheduler) == 5


def test_two_schedulers_do_not_work_on_one_job(connection: Connection, scheduler: Connection, bury: Bury) -> None:
    bury(count=5)
    made(connection, Filter(), rate=5.0)
    pass_time(connection, 1.0)

    assert step(connection) == 5
    assert requeue_step(scheduler) == 0


def test_a_job_can_be_stopped_where_it_stands(connection: Connection, bury: Bury) -> None:
    bury(count=5)
    job = made(connection, Filter(), rate=1.0)
    pass_time(connection, 60.0)
    step(connection)

    stopped = stop_job(connection, job.id)
    pass_time(connection, 1.0)

    assert stopped is not None
    assert (stopped.status, stopped.done) == ("stopped", 2)
    assert step(connection) == 0
    assert [one.id for one in list_jobs(connection, limit=10)] == [job.id]


def test_a_step_of_the_scheduler_is_committed(connection: Connection, scheduler: Connection, bury: Bury) -> None:
    bury(count=2)
    made(connection, Filter(), rate=2.0)
    pass_time(connection, 1.0)

    assert requeue_step(scheduler) == 2

    assert dict(fetch(connection, STATUSES)) == {"pending": 2}
