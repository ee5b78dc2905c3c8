"""Clocks jump: the database's, by which Herald decides, and those of its processes, by which it does not."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pipeline.testing.clock import VirtualClock
from tests.faults.course import Fault, endure
from tests.faults.world import World

pytestmark = pytest.mark.kafka


@pytest.fixture
def clock(world: World) -> VirtualClock:
    """The database's own, for connections from now on."""
    clock = VirtualClock(world.database)
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
    endure(world, "the database's clock jumps an hour ahead", jump(clock, 3600))
    endure(world, "the database's clock jumps an hour back", jump(clock, -3600))
