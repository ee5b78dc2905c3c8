"""Who is stuck, and who only rests or waits."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from herald.outbox.watched.life import LIMIT, LOOK, SUSPENDED, Life
from tests.servers.eventually import eventually


class Clock:
    """Seconds as the test says; looks come as often as in a process."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.life = Life(lambda: self.now)

    def pass_by(self, seconds: float) -> None:
        for _ in range(round(seconds / LOOK)):
            self.now += LOOK
            self.life.look()


@pytest.fixture
def clock() -> Clock:
    clock = Clock()
    clock.life.look()
    return clock


@contextmanager
def thread(act: Callable[[threading.Event], None]) -> Iterator[None]:
    """A thread that is in its act while the block runs."""
    begun, goes_on = threading.Event(), threading.Event()

    def run() -> None:
        begun.set()
        act(goes_on)

    other = threading.Thread(target=run)
    other.start()
    assert begun.wait(10)
    yield
    goes_on.set()
    other.join(10)


def test_a_thread_that_does_not_come_by_is_stuck(clock: Clock) -> None:
    with clock.life.living("worker"):
        clock.pass_by(LIMIT)
        assert clock.life.stuck() == []

        clock.pass_by(LOOK)

        assert clock.life.stuck() == ["worker"]


def test_a_thread_that_comes_by_is_not(clock: Clock) -> None:
    with clock.life.living("worker"):
        clock.pass_by(LIMIT)
        clock.life.came_by()
        clock.pass_by(LIMIT)

        assert clock.life.stuck() == []


def test_a_thread_without_work_rests_and_is_judged_from_its_next_work_on(clock: Clock) -> None:
    works = threading.Event()
    with clock.life.living("worker", is_idle=lambda: not works.is_set()):
        clock.pass_by(10 * LIMIT)
        works.set()
        assert clock.life.stuck() == []

        clock.pass_by(LIMIT + LOOK)

        assert clock.life.stuck() == ["worker"]


def test_a_thread_that_waits_for_a_server_is_not_stuck_however_long_that_takes(clock: Clock) -> None:
    def wait(goes_on: threading.Event) -> None:
        with clock.life.living("worker"), clock.life.waiting():
            goes_on.wait(10)

    with thread(wait):
        eventually(lambda: clock.life._waiting)  # noqa: SLF001
        clock.pass_by(10 * LIMIT)

        assert clock.life.stuck() == []


def test_a_thread_that_ended_by_an_error_stays_red(clock: Clock) -> None:
    with pytest.raises(ValueError, match="lost"), clock.life.living("committer", is_idle=lambda: True):
        raise ValueError("lost")

    assert clock.life.stuck() == ["committer"]


def test_a_thread_that_has_done_its_work_is_forgotten(clock: Clock) -> None:
    with clock.life.living("reader"):
        pass

    clock.pass_by(2 * LIMIT)

    assert clock.life.stuck() == []


def test_after_a_time_in_which_nothing_ran_nobody_is_judged(clock: Clock) -> None:
    with clock.life.living("worker"):
        clock.now += 10 * SUSPENDED + LIMIT
        clock.life.look()

        assert clock.life.stuck() == []


def test_an_error_that_others_see_to_is_no_end(clock: Clock) -> None:
    with pytest.raises(ValueError, match="away"), clock.life.living("reader", may_fail=True):
        raise ValueError("away")

    clock.pass_by(2 * LIMIT)

    assert clock.life.stuck() == []


def test_a_wait_that_lasts_longer_than_it_may_is_no_excuse(clock: Clock) -> None:
    def wait(goes_on: threading.Event) -> None:
        with clock.life.living("worker"), clock.life.waiting(2 * LIMIT):
            goes_on.wait(10)

    with thread(wait):
        eventually(lambda: clock.life._waiting)  # noqa: SLF001
        clock.pass_by(3 * LIMIT)
        assert clock.life.stuck() == []

        clock.pass_by(LOOK)

        assert clock.life.stuck() == ["worker"]


def test_a_part_of_a_thread_has_a_name_of_its_own_and_then_the_whole_goes_on(clock: Clock) -> None:
    with clock.life.living("start"):
        with clock.life.living("consumer"):
            clock.pass_by(LIMIT + LOOK)
            assert clock.life.stuck() == ["consumer"]
        assert clock.life.stuck() == []

        clock.pass_by(LIMIT + LOOK)

        assert clock.life.stuck() == ["start"]


def test_what_takes_too_long_is_named_while_it_does_and_a_time_in_which_nothing_ran_does_not_count(
    clock: Clock,
) -> None:
    began = clock.now

    def find_long(since: float) -> list[str]:
        return ["a delivery"] if clock.now - max(began, since) > LIMIT else []

    with clock.life.judging(find_long):
        clock.now += 10 * SUSPENDED + LIMIT
        clock.life.look()
        clock.pass_by(LIMIT)
        assert clock.life.stuck() == []

        clock.pass_by(LOOK)
        assert clock.life.stuck() == ["a delivery"]

    clock.pass_by(LOOK)
    assert clock.life.stuck() == []
