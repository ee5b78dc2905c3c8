"""One run: a world, everybody in it, faults for a while, then calm until everything is final."""

from collections import deque
from functools import partial

from tests.proof.model.api import Command, client, committer, person
from tests.proof.model.faults import Faults, foreign_producer, seeding_producer
from tests.proof.model.judge import ViolationError
from tests.proof.model.pipeline import Pipeline
from tests.proof.model.relay import Relay
from tests.proof.model.scheduler import rebase
from tests.proof.model.world import Actor, World

MOST_STEPS = 6_000
CALM = 200.0  # seconds after the last fault within which everything is final
LOOK = 25  # steps between two looks whether it is


class Api:
    """Two processes that accept."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.queues: list[deque[Command]] = [deque(), deque()]
        self._committers = [self._start(number) for number in range(2)]

    def kill(self) -> None:
        number = self.world.random.randint(0, 1)
        self.world.say("an API is killed")
        self.world.stop(self._committers[number])
        self._committers[number] = self._start(number)

    def _start(self, number: int) -> Actor:
        return self.world.start(f"committer {number}", committer(self.world, self.queues[number]))


def make_world(seed: int, *, without: str | None, is_told: bool) -> World:
    world = World(seed, without=without, is_told=is_told)
    api = Api(world)
    is_pooled = world.random.random() < 0.4
    relays = [Relay(world, f"relay {number}", is_pooled=is_pooled) for number in (1, 2)]
    pipelines = [Pipeline(world, f"pipeline {number}") for number in (1, 2)]
    for number in range(world.random.randint(1, 3)):
        world.start(f"client {number}", client(world, api.queues, world.random.randint(1, 5)))
    world.start("another producer", foreign_producer(world))
    if world.random.random() < 0.5:
        world.start("a seeding producer", seeding_producer(world))
    world.start("a person", person(world))
    world.start("an operator", rebase(world))
    world.start("faults", Faults(world, relays, pipelines, partial(api.kill)).run())
    return world


def run(seed: int, *, without: str | None = None, is_told: bool = False) -> tuple[str | None, World]:
    """What was violated, or None; the same seed makes the same run."""
    world = make_world(seed, without=without, is_told=is_told)
    end = None
    try:
        while world.steps < MOST_STEPS:
            world.step()
            if not world.is_calm:
                continue
            end = end or world.clock + CALM
            if world.clock > end or (world.steps % LOOK == 0 and world.judge.is_settled()):
                break
        world.judge.judge()
    except ViolationError as violation:
        return str(violation), world
    finally:
        for actor in world.actors:
            actor.steps.close()
    return None, world
