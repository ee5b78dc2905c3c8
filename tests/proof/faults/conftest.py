"""A fleet on each broker, and a world for every fault: kept while all goes well, made anew after a failure."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest

from herald.outbox.up.broker import SESSION_TIMEOUT
from tests.conftest import FAILED
from tests.proof.faults.fleet import HURRIED, Fleet
from tests.proof.faults.provider import Provider
from tests.proof.faults.scene import Scene
from tests.proof.faults.world import World, made_world

EMBEDDED = {  # as `herald up` has it for its broker
    "HERALD_FETCH_WAIT": "0.01",
    "HERALD_SESSION_TIMEOUT": SESSION_TIMEOUT,
}

MakeWorld = Callable[[], AbstractContextManager[World]]


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as provider:
        yield provider


@pytest.fixture
def fleet_settings() -> dict[str, str]:
    """Short timeouts; a module has its own where it needs others."""
    return HURRIED


@pytest.fixture
def scene(
    database: str,
    each_broker: str,
    provider: Provider,
    fleet_settings: dict[str, str],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> Iterator[Scene]:
    """Two of each process, started; when the test fails, the end of each log is shown.

    On the embedded broker there is one pipeline, as `herald up` has it: of two that join at the same time it
    may let neither in.
    """
    is_kafka = request.node.get_closest_marker("kafka") is not None
    pipelines = None if is_kafka else 1
    fleet = Fleet(tmp_path, database, each_broker, pipelines=pipelines, settings={**fleet_settings, **EMBEDDED})
    with fleet.running():
        yield Scene(fleet, provider, keeps_records=is_kafka)
        if request.node.stash[FAILED]:
            for name, member in fleet.members.items():
                print(f"--- end of the log of {name}\n{member.tail()}")  # noqa: T201 - pytest shows it on failure


class Worlds:
    """At most one at a time."""

    def __init__(self, make: MakeWorld) -> None:
        self._stack = ExitStack()
        self._make = make
        self._world: World | None = None

    def get(self) -> World:
        if self._world is None:
            self._world = self._stack.enter_context(self._make())
        return self._world

    def end(self) -> None:
        self._stack.close()
        self._world = None


@pytest.fixture(scope="module")
def make_world() -> MakeWorld:
    """A module has its own where it needs other settings."""
    return made_world


@pytest.fixture(scope="module")
def worlds(make_world: MakeWorld) -> Iterator[Worlds]:
    worlds = Worlds(make_world)
    yield worlds
    worlds.end()


@pytest.fixture
def world(worlds: Worlds, request: pytest.FixtureRequest) -> Iterator[World]:
    """Shared by the tests of a file, with its ledger: each judges all that came before, too."""
    world = worlds.get()
    yield world
    if request.node.stash[FAILED]:
        for member in world.scene.fleet.members.values():
            print(f"--- end of the log of herald {member.role}\n{member.tail()}")  # noqa: T201 - pytest shows it
        worlds.end()
