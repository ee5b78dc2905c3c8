"""Herald whole, on each broker."""

import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from herald.outbox.postgres.driver import Connection
from tests.conftest import ROOT, StartHerald
from tests.outbox.connections import connected
from tests.proof.end_to_end.system import STARTED, Herald, MakeHerald
from tests.servers.child import Child
from tests.servers.herald import herald_environment

QUICK = {
    "HERALD_SWEEP_SECONDS": "1",  # what Kafka lost is found at once
    "HERALD_SESSION_TIMEOUT": "3",  # a killed pipeline's partitions are free after it
    "HERALD_FETCH_WAIT": "0.01",  # the embedded broker does not wake a waiting fetch
}


LEASE = {"HERALD_LEASE": "3", "HERALD_DELIVERY_TIMEOUT": "2"}  # seconds; short enough to wait for


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    """In autocommit: every look is a new one."""
    with connected(database) as connection:
        connection.autocommit = True
        yield connection


@pytest.fixture
def make_herald(database: str, each_broker: str, start_herald: StartHerald) -> Iterator[MakeHerald]:
    """Call it with further settings; nothing is started yet."""
    made: list[Herald] = []

    def make(**settings: str) -> Herald:
        servers = {"DATABASE_URL": database, "KAFKA_BOOTSTRAP_SERVERS": each_broker}
        group = f"herald-{uuid4().hex[:8]}"  # or it would wait for the killed members of the test before
        made.append(Herald(start_herald, {**QUICK, **servers, "HERALD_GROUP": group, **settings}))
        return made[-1]

    yield make
    for herald in made:
        herald.client.close()


@pytest.fixture
def herald(make_herald: MakeHerald) -> Herald:
    return make_herald()


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """A file that is not there yet."""
    return tmp_path / "gate"


@pytest.fixture
def gated_pipeline(herald: Herald, tmp_path: Path, gate: Path) -> Iterator[Child]:
    """A pipeline whose calls begin, and end once the gate is there; not started."""
    settings = {**herald.settings, **LEASE, "PYTHONPATH": str(ROOT), "GATE": str(gate)}
    command = [sys.executable, "-m", "tests.proof.end_to_end.gated_pipeline"]
    child = Child(command, log=tmp_path / "gated.log", env=herald_environment(settings), cwd=tmp_path)
    yield child
    child.kill()


@pytest.fixture
def in_mid_call(herald: Herald, gated_pipeline: Child) -> str:
    """A notification whose delivery the gated pipeline has begun."""
    herald.start("api", "relay")
    gated_pipeline.start()
    herald.await_api()
    posted = herald.post_notification()
    gated_pipeline.wait_for(f"begun {posted}", STARTED)
    return posted
