"""The network between any two fails in every way: nothing is lost, and all is normal soon after."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.proof.faults.course import Fault, endure
from tests.proof.faults.world import OUT_OF_ORDER, PAIRS, World
from tests.servers.proxy import Proxy

pytestmark = [pytest.mark.kafka, pytest.mark.proof]


def failing(pairs: tuple[str, ...], fail: Callable[[Proxy], None]) -> Fault:
    @contextmanager
    def fault(world: World) -> Iterator[None]:
        for pair in pairs:
            fail(world.proxies[pair])
        yield
        for pair in pairs:
            world.proxies[pair].heal()

    return fault


@pytest.mark.parametrize("pair", PAIRS)
def test_a_half_open_network_loses_nothing(world: World, pair: str) -> None:
    if pair == "pipeline-provider":
        world.allowed |= OUT_OF_ORDER  # a failed message, and what was given back behind it, hold up no other
    endure(world, f"half-open: {pair}", failing((pair,), Proxy.swallow), lasts=3.0)


@pytest.mark.parametrize("pair", PAIRS)
def test_connections_that_break_lose_nothing(world: World, pair: str) -> None:
    endure(world, f"connections cut and refused: {pair}", failing((pair,), Proxy.refuse))


def test_a_slow_network_that_loses_packets_loses_no_message(world: World) -> None:
    fault = failing(PAIRS, lambda proxy: proxy.slow(0.02, loss=0.05))

    endure(world, "20 ms each way and 5 % lost, everywhere", fault, lasts=4.0)


def test_a_network_that_stands_still_loses_nothing(world: World) -> None:
    endure(world, "the whole network stands still", failing(PAIRS, Proxy.hold), lasts=3.0)
