"""Apache Kafka fails in every way that brokers do.

`FROZEN=90 GONE=180 REBALANCES=50` in the environment make it as long as `make proof-all` does.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import NewPartitions, NewTopic

from herald.outbox.registry import TOPICS
from tests.proof.end_to_end.topic import delete_topics
from tests.proof.faults.course import endure
from tests.proof.faults.provider import DELAY
from tests.proof.faults.world import OUT_OF_ORDER, World
from tests.servers.eventually import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.proof]

FROZEN = float(os.environ.get("FROZEN", "6"))  # seconds; a session of the consumer lasts 3
GONE = float(os.environ.get("GONE", "4"))  # seconds
REBALANCES = int(os.environ.get("REBALANCES", "3"))
ANSWER = 10.0  # seconds
STARTED = 60.0  # seconds
FOREIGN = 40  # records of another producer
FOREIGN_RECORD = b'{"user_id": "stranger", "event": "fault", "content": "foreign %d"}'
SLOW = 0.5  # seconds that a delivery takes


@contextmanager
def restarted(world: World) -> Iterator[None]:
    world.kafka.stop()
    world.kafka.start()
    yield


@contextmanager
def gone(world: World) -> Iterator[None]:
    world.kafka.kill()
    yield
    world.kafka.start()


@contextmanager
def frozen(world: World) -> Iterator[None]:
    world.kafka.child.pause()
    yield
    world.kafka.child.resume()


@contextmanager
def wiped(world: World) -> Iterator[None]:
    world.kafka.stop()
    world.kafka.lose_disk()
    world.kafka.start()
    yield


@contextmanager
def wiped_unseen(world: World) -> Iterator[None]:
    """The pipeline is frozen meanwhile: no answer ever tells it that its topics were missing for a while."""
    (pipeline,) = world.scene.fleet.of("pipeline").values()
    pipeline.pause()
    with wiped(world):
        eventually(lambda: TOPICS.keys() <= world.admin.list_topics(timeout=ANSWER).topics.keys(), STARTED)
        pipeline.resume()
        yield


@contextmanager
def topics_made_anew_with_foreign_messages(world: World) -> Iterator[None]:
    delete_topics(world.kafka.bootstrap_servers, *TOPICS)
    producer = Producer({"bootstrap.servers": world.kafka.bootstrap_servers, "allow.auto.create.topics": False})
    for topic, made in world.admin.create_topics([NewTopic(name, 2, 1) for name in TOPICS]).items():
        if made.exception(ANSWER) is None:  # else Herald was quicker
            for number in range(FOREIGN):
                producer.produce(topic, FOREIGN_RECORD % number)
    producer.flush(ANSWER)
    yield


@contextmanager
def more_partitions(world: World) -> Iterator[None]:
    for grown in world.admin.create_partitions([NewPartitions(name, 6) for name in TOPICS]).values():
        grown.result(ANSWER)
    yield


@contextmanager
def without_its_group(world: World) -> Iterator[None]:
    (pipeline,) = world.scene.fleet.of("pipeline").values()
    assert pipeline.stop() == 0
    group = world.scene.fleet.settings["HERALD_GROUP"]
    eventually(lambda: world.admin.delete_consumer_groups([group])[group].exception(ANSWER) is None, STARTED)
    pipeline.start()
    yield


@contextmanager
def rebalanced_again_and_again(world: World) -> Iterator[None]:
    """A second pipeline comes and goes, killed each time, while every delivery is slow."""
    world.scene.provider.delay = SLOW
    for _ in range(REBALANCES):
        join_and_die(world)
    yield
    world.scene.provider.delay = DELAY


def join_and_die(world: World) -> None:
    before, second = members(world), world.make_member("pipeline-2")
    second.start()
    try:
        # it says that it has started before it joins: the broker knows when it has
        eventually(
            lambda: world.scene.fleet.revive() and members(world) - before,
            STARTED,
            what="the second pipeline has joined",
        )
    finally:
        second.kill()


def members(world: World) -> set[str]:
    """The ids of those in the group, as the broker has them."""
    group = world.scene.fleet.settings["HERALD_GROUP"]
    described: Any = world.admin.describe_consumer_groups([group])[group].result(ANSWER)  # the stub says dict
    return {member.member_id for member in described.members}


def test_a_restart_loses_nothing(world: World) -> None:
    endure(world, "Kafka stopped and started", restarted)


def test_a_broker_that_is_gone_for_long_loses_nothing(world: World) -> None:
    endure(world, f"Kafka killed, gone for {GONE:g} s", gone, lasts=GONE)


def test_a_frozen_broker_loses_nothing(world: World) -> None:
    endure(world, f"Kafka frozen for {FROZEN:g} s", frozen, lasts=FROZEN)


def test_a_deleted_group_loses_nothing(world: World) -> None:
    endure(world, "consumer group deleted", without_its_group)


def test_rebalances_with_a_slow_channel_lose_nothing(world: World) -> None:
    world.allowed |= {"out of order at the provider"}  # what waits in the worker that had the partition is overtaken
    endure(world, f"{REBALANCES} rebalances with a slow channel", rebalanced_again_and_again)


def test_more_partitions_lose_nothing(world: World) -> None:
    """What goes to another partition than before may overtake what is still unread: Kafka's order ends there."""
    world.allowed |= OUT_OF_ORDER

    endure(world, "partitions added", more_partitions)


def test_a_wiped_broker_loses_nothing(world: World) -> None:
    world.allowed |= {"not on Kafka", *OUT_OF_ORDER}

    endure(world, "Kafka wiped", wiped)


def test_a_broker_that_is_wiped_behind_a_frozen_pipeline_loses_nothing(world: World) -> None:
    """It knows a later epoch of each partition's leader than the new broker has, where that was restarted before."""
    world.allowed |= {"not on Kafka", *OUT_OF_ORDER}

    endure(world, "Kafka wiped behind a frozen pipeline", wiped_unseen)


def test_topics_made_anew_with_foreign_messages_lose_nothing(world: World) -> None:
    world.allowed |= {"not on Kafka", "on Kafka and not in the log", "in the log and not asked for", *OUT_OF_ORDER}

    endure(world, "topics deleted, made anew with foreign messages", topics_made_anew_with_foreign_messages)
