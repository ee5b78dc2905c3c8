"""A fault of each kind, one after the other in one world. All of them, and for longer: the files beside this one.

What a fault entails by its nature is allowed from then on, so those that entail nothing come first.
"""

from contextlib import ExitStack
from functools import partial

import pytest

from tests.proof.faults.conftest import MakeWorld
from tests.proof.faults.course import endure
from tests.proof.faults.test_broker_faults import GONE, gone, topics_made_anew_with_foreign_messages, wiped
from tests.proof.faults.test_clock_faults import HOUR, install_clock, jump
from tests.proof.faults.test_data_faults import STRANGERS, forged
from tests.proof.faults.test_network_faults import failing
from tests.proof.faults.test_postgres_faults import cut_in_commit
from tests.proof.faults.test_restore_faults import endure_a_fail_over
from tests.proof.faults.world import OUT_OF_ORDER, PAIRS, World, made_world
from tests.servers.proxy import Proxy

pytestmark = pytest.mark.kafka


@pytest.fixture(scope="module")
def make_world() -> MakeWorld:
    return partial(made_world, HERALD_FAILOVER="automatic")


def test_commits_that_are_not_answered_lose_nothing(world: World) -> None:
    endure(world, "connections cut in COMMIT, the answer withheld", cut_in_commit, lasts=4.0)


def test_a_half_open_network_loses_nothing(world: World) -> None:
    endure(world, "half-open: api-postgres", failing(("api-postgres",), Proxy.swallow), lasts=3.0)


def test_a_slow_network_that_loses_packets_loses_no_message(world: World) -> None:
    endure(world, "20 ms each way and 5 % lost", failing(PAIRS, lambda proxy: proxy.slow(0.02, loss=0.05)))


def test_a_broker_that_is_gone_loses_nothing(world: World) -> None:
    endure(world, "Kafka killed", gone, lasts=GONE)


def test_a_database_whose_clock_jumps_loses_nothing(world: World) -> None:
    """Every lease ends at once, and then every lease and every date lies an hour ahead."""
    clock = install_clock(world)
    world.allowed |= {"out of order in the log"}

    endure(world, "the database's clock jumps an hour ahead", jump(clock, HOUR))
    endure(world, "the database's clock jumps an hour back", jump(clock, -HOUR))


def test_forged_records_lose_nothing(world: World) -> None:
    world.allowed |= STRANGERS

    endure(world, "forged records with Herald's headers", forged)


def test_topics_made_anew_with_foreign_messages_lose_nothing(world: World) -> None:
    world.allowed |= {"not on Kafka", *OUT_OF_ORDER}

    endure(world, "topics deleted, made anew with foreign messages", topics_made_anew_with_foreign_messages)


def test_a_wiped_broker_loses_nothing(world: World) -> None:
    world.allowed |= {"not on Kafka", *OUT_OF_ORDER}

    endure(world, "Kafka wiped", wiped)


def test_a_promoted_standby_loses_only_what_it_never_got(world: World) -> None:
    """It is asynchronous. The last one: the world goes on with it."""
    with ExitStack() as stack:
        endure_a_fail_over(world, stack)
