"""The scheduler and its tasks: what runs when, and what a failing one costs."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from herald.outbox.postgres.driver import Connection
from herald.outbox.scheduler.duties import load_tasks
from herald.outbox.scheduler.schedule import Duty, Scheduler, running
from herald.outbox.scheduler.tasks import remind_of_dead_letters, report_backlog
from tests.outbox.connections import accepted, change, connected, make_settings, notification

Start = Callable[..., None]


@pytest.fixture
def start(database: str) -> Iterator[Start]:
    with ExitStack() as started:

        def run(*duties: Duty) -> None:
            started.enter_context(running([Scheduler(make_settings(database), duties, name="test")]))

        yield run


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    with connected(database) as connection:
        connection.autocommit = True
        yield connection


class Counter:
    """A duty that counts its runs."""

    def __init__(self, *, fails: bool = False, finds: int | None = None) -> None:
        self._ran = threading.Semaphore(0)
        self._fails = fails
        self._finds = finds

    def __call__(self, connection: Connection) -> int | None:
        assert connection.autocommit
        self._ran.release()
        if self._fails:
            message = "a bug of the task's author"
            raise KeyError(message)
        return self._finds

    def ran(self, times: int) -> bool:
        """Whether it ran so often within ten seconds."""
        return all(self._ran.acquire(timeout=10) for _ in range(times))


def test_a_duty_runs_again_and_again(start: Start) -> None:
    counter = Counter()

    start(Duty(0.01, counter, name="counter"))

    assert counter.ran(3)


def test_a_duty_that_found_something_looks_again_soon(start: Start) -> None:
    counter = Counter(finds=1)

    start(Duty(3600, counter, name="counter", again=0.01))

    assert counter.ran(3)


def test_a_task_that_fails_runs_again_and_stops_no_other(start: Start) -> None:
    bad, good = Counter(fails=True), Counter()

    start(Duty(0.01, bad, name="bad"), Duty(0.01, good, name="good"))

    assert bad.ran(2)
    assert good.ran(2)


def test_a_task_that_calls_for_an_exit_ends_no_more_than_its_turn(start: Start) -> None:
    good = Counter()

    start(Duty(0.01, lambda _connection: sys.exit(1), name="bad"), Duty(0.01, good, name="good"))

    assert good.ran(2)


def test_a_registered_task_first_runs_after_its_interval() -> None:
    before = time.monotonic()

    task = load_tasks()[0]

    assert (task.every, task.act, task.name) == (300.0, report_backlog.run, "report_backlog")
    assert task.due >= before + 300.0


def test_every_registered_task_can_be_loaded() -> None:
    assert sorted(task.every for task in load_tasks()) == [300.0, 900.0]


def test_the_backlog_is_reported_by_state(connection: Connection, capsys: pytest.CaptureFixture[str]) -> None:
    accepted(connection, notification(), notification())

    report_backlog.run(connection)

    line = capsys.readouterr().out
    assert "backlog_reported" in line
    assert "pending=2" in line


def test_a_person_is_reminded_of_what_waits_for_one(connection: Connection, capsys: pytest.CaptureFixture[str]) -> None:
    remind_of_dead_letters.run(connection)
    assert capsys.readouterr().out == ""

    accepted(connection, notification())
    change(connection, "UPDATE messages SET status = 'dead'")
    remind_of_dead_letters.run(connection)

    line = capsys.readouterr().out
    assert "dead_letters_wait" in line
    assert "dead=1" in line
