"""Clocks jump: the database's, by which Herald decides, and those of its processes, by which it does not."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from herald.outbox.postgres.driver import errors
from herald.pipeline.testing.clock import VirtualClock
from tests.proof.faults.course import Fault, endure
from tests.proof.faults.fleet import STARTED
from tests.proof.faults.world import World
from tests.servers.eventually import eventually
from tests.servers.moved_clock import MovedClock, find_library

HOUR, DAY = 3600.0, 86_400.0  # seconds

pytestmark = [pytest.mark.kafka, pytest.mark.proof]
needs_library = pytest.mark.skipif(find_library() is None, reason="libfaketime is for Linux on x86-64")


@pytest.fixture
def clock(world: World) -> VirtualClock:
    return install_clock(world)


def install_clock(world: World) -> VirtualClock:
    """The database's own, for connections from now on."""
    clock = VirtualClock(world.database)
    with suppress(errors.DuplicateTable):  # an earlier test's
        clock.install()
    for proxy in world.of("postgres"):
        proxy.cut()
    return clock


def jump(clock: VirtualClock, seconds: float) -> Fault:
    @contextmanager
    def fault(_world: World) -> Iterator[None]:
        clock.advance(seconds=seconds)
        yield

    return fault


def test_a_database_whose_clock_jumps_loses_nothing(world: World, clock: VirtualClock) -> None:
    """Forth, every lease ends at once; back, every lease and every date lies an hour ahead."""
    world.allowed |= {"out of order in the log"}  # which is judged by that clock; the topics and the provider are not
    endure(world, "the database's clock jumps an hour ahead", jump(clock, HOUR))
    endure(world, "the database's clock jumps an hour back", jump(clock, -HOUR))


@pytest.fixture
def clock_of_api(world: World) -> MovedClock:
    """The API starts anew with it. (librdkafka cannot: it waits by a call that libfaketime does not know.)"""
    clock = MovedClock(world.folder / "clock")
    for member in world.scene.fleet.of("api").values():
        member.kill()
        member.tell(**clock.settings)
    eventually(world.scene.fleet.is_ready, STARTED, what="the API is ready")
    return clock


@needs_library
@pytest.mark.parametrize(
    ("where", "seconds"),
    [("two hours ahead", 2 * HOUR), ("three days back", -3 * DAY)],  # partitions reach a day ahead
)
def test_an_api_whose_clock_jumps_loses_nothing(
    world: World, clock_of_api: MovedClock, where: str, seconds: float
) -> None:
    """The date jumps while it runs, is wrong when it begins anew, and jumps back."""
    (api,) = world.scene.fleet.of("api").values()

    @contextmanager
    def fault(_world: World) -> Iterator[None]:
        clock_of_api.move(seconds)
        yield
        api.stop()
        api.start()
        eventually(lambda: api.is_ready, STARTED, what="it begins by the wrong date")
        clock_of_api.move(0)

    endure(world, f"the API's clock: {where}", fault)


@needs_library
@pytest.mark.parametrize(("where", "days"), [("behind", 3), ("ahead", -3)])
def test_a_relay_and_a_pipeline_with_another_date_lose_nothing(
    world: World, clock: VirtualClock, clock_of_api: MovedClock, where: str, days: float
) -> None:
    """What the database and the API take for the date jumps by days, and back."""
    world.allowed |= {"out of order in the log"}

    @contextmanager
    def fault(_world: World) -> Iterator[None]:
        clock_of_api.move(days * DAY)
        clock.advance(days=days)
        yield
        clock_of_api.move(0)
        clock.advance(days=-days)

    endure(world, f"relay and pipeline {abs(days)} days {where}", fault)
