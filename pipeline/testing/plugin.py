"""The pytest plugin: fixtures that begin with `herald`, and the marker `herald`.

A suite that uses neither imports nothing of Herald: everything is imported by the fixture that needs it.
"""
# ruff: noqa: PLC0415

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from herald.pipeline.testing.clock import VirtualClock
    from herald.pipeline.testing.herald import Herald
    from herald.pipeline.testing.servers import Databases

MARKER = "herald(topics={}, channels={}, settings={}): consumers by name (a module's name, or the object), and settings"
OFFERED = ("topics", "channels", "settings")
QUICK = {
    "fetch_wait": 0.01,  # the embedded broker does not wake a waiting fetch
    "session_timeout": 1.0,  # it lets the first member of a group wait half of it
    "retry_base": 0.05,  # what is tried again comes soon
    "max_attempts": 8,  # and ends within seconds, not after a day
}


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known, for suites that are strict about markers."""
    config.addinivalue_line("markers", MARKER)


@pytest.fixture(scope="session")
def herald_databases() -> Iterator["Databases"]:
    """PostgreSQL for the whole run, started when the first test needs it."""
    from herald.pipeline.testing.servers import postgres_server

    with postgres_server() as databases:
        yield databases


@pytest.fixture
def herald_database(herald_databases: "Databases") -> Iterator[str]:
    """The URL of a migrated database of the test's own."""
    with herald_databases.fresh() as url:
        yield url


@pytest.fixture
def herald_clock(herald_database: str) -> "VirtualClock":
    """The clock of that database: `advance(hours=3)`, `set(date)`; it also tells the time."""
    from herald.pipeline.testing.clock import VirtualClock

    return VirtualClock(herald_database)


@pytest.fixture
def herald_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The bootstrap servers of an empty broker of the test's own; it speaks Kafka's protocol."""
    from herald.pipeline.testing.servers import kafka_broker

    with kafka_broker(tmp_path_factory.mktemp("herald")) as servers:
        yield servers


@pytest.fixture
def herald(
    request: pytest.FixtureRequest,
    herald_database: str,
    herald_broker: str,
    herald_clock: "VirtualClock",
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator["Herald"]:
    """Herald running: post messages, wait until they are settled, assert that nothing is lost."""
    marked = _marked(request.node)
    from herald.outbox.extensions import extend
    from herald.pipeline.testing.consumers import Consumers
    from herald.pipeline.testing.herald import running

    servers = {"DATABASE_URL": herald_database, "KAFKA_BOOTSTRAP_SERVERS": herald_broker}
    extend(marked["settings"].get("extensions", ()))
    said = {**QUICK, **marked["settings"], **servers}
    consumers = Consumers(marked["topics"], marked["channels"])
    folder: Path = tmp_path_factory.mktemp("herald")
    with running(said, consumers, herald_clock, folder=folder) as herald:
        yield herald


def _marked(item: pytest.Item) -> dict[str, dict[str, Any]]:
    """What the markers say; the nearest one wins, name by name."""
    marked: dict[str, dict[str, Any]] = {name: {} for name in OFFERED}
    for marker in reversed(list(item.iter_markers("herald"))):
        unknown = marker.kwargs.keys() - set(OFFERED)
        if marker.args or unknown:
            message = f"the marker herald takes {', '.join(OFFERED)} by name; not {[*marker.args, *sorted(unknown)]}"
            raise pytest.UsageError(message)
        for name, said in marker.kwargs.items():
            marked[name].update(said)
    _check_settings(marked["settings"])
    return marked


def _check_settings(said: dict[str, Any]) -> None:
    from herald.outbox.settings import Settings

    if unknown := sorted(said.keys() - Settings.model_fields.keys()):
        message = f"the marker herald: settings: no such setting: {', '.join(unknown)}; HERALD_LEASE is `lease`"
        raise pytest.UsageError(message)
