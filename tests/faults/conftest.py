"""A fleet on each broker."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import FAILED
from tests.faults.fleet import HURRIED, Fleet
from tests.faults.provider import Provider
from tests.faults.scene import Scene

EMBEDDED = {"HERALD_FETCH_WAIT": "0.01"}  # the embedded broker does not wake a waiting fetch


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as provider:
        yield provider


@pytest.fixture
def scene(
    database: str, each_broker: str, provider: Provider, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Scene]:
    """Two of each process, started; when the test fails, the end of each log is shown."""
    fleet = Fleet(tmp_path, database, each_broker, settings={**HURRIED, **EMBEDDED})
    with fleet.running():
        yield Scene(fleet, provider, keeps_records=request.node.get_closest_marker("kafka") is not None)
        if request.node.stash[FAILED]:
            for name, member in fleet.members.items():
                print(f"--- end of the log of {name}\n{member.tail()}")  # noqa: T201 - pytest shows it on failure
