"""The servers of a test run: those that `herald up` brings along, in a folder that goes with them."""

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import psycopg2
from alembic import command as alembic
from rich.console import Console

from herald.outbox.operate.migrate import make_config
from herald.outbox.postgres.connections import make_engine
from herald.outbox.up.environment import child_environment
from herald.outbox.up.servers import broker, postgres
from herald.outbox.up.servers.postgres import Cluster
from herald.outbox.up.supervisor.child import Child, Role, show_every_line
from herald.outbox.up.supervisor.signals import Signals
from herald.outbox.up.supervisor.terminal import Terminal
from herald.pipeline.testing.clock import VirtualClock
from herald.pipeline.testing.settings import make_settings
from herald.pipeline.testing.waiting import until

START_TIMEOUT = 60.0  # seconds until a server has to answer
STOP_TIMEOUT = 5.0  # seconds until one that was asked to end is killed
CONNECT_TIMEOUT = 5  # seconds
TEMPLATE = "herald_template"
FORGETFUL = ("fsync=off", "full_page_writes=off", "synchronous_commit=off", "max_connections=200")  # a test's data


class ServerError(Exception):
    """A server of the test run did not start; the text holds the end of its log."""


@contextmanager
def started(role: Role, answers: Callable[[], bool], log: Path) -> Iterator[Child]:
    """Run a server; it has ended when the block has. Raises ServerError."""
    with log.open("w", encoding="utf-8") as file:
        child = Child(role, Terminal(Console(file=file, soft_wrap=True)))
        try:
            if not until(lambda: child.poll() is not None or answers(), START_TIMEOUT) or child.poll() is not None:
                file.flush()
                message = f"{role.name} does not start (exit code {child.poll()}):\n{log.read_text()[-2000:]}"
                raise ServerError(message)
            yield child
        finally:
            child.ask_to_stop()
            until(lambda: child.poll() is not None, STOP_TIMEOUT)
            child.kill()
            child.finish_output(STOP_TIMEOUT)


class Databases:
    """One PostgreSQL: each test has a migrated database of its own, copied within 50 ms."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._execute(f"CREATE DATABASE {TEMPLATE}")
        settings = make_settings({"DATABASE_URL": cluster.url(TEMPLATE)})
        engine = make_engine(settings, "herald-testing")
        config = make_config()
        config.attributes["connection"] = engine
        alembic.upgrade(config, "head")
        engine.dispose()

    @contextmanager
    def fresh(self) -> Iterator[str]:
        """The URL of a migrated database with a clock that can be moved; dropped with whoever is still connected."""
        name = f"test_{uuid4().hex}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
        try:
            self._execute("SELECT instance_takes_place(true)", name)
            VirtualClock(self._cluster.url(name)).install()
            yield self._cluster.url(name)
        finally:
            self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _execute(self, statement: str, database: str = "postgres") -> None:
        url = self._cluster.url(database)
        with closing(psycopg2.connect(url, connect_timeout=CONNECT_TIMEOUT)) as connection:
            connection.autocommit = True
            connection.cursor().execute(statement)


@contextmanager
def postgres_server() -> Iterator[Databases]:
    """PostgreSQL for a test run. Raises NotInstalledError without the extra `embedded`, ServerError."""
    folder = Path(tempfile.mkdtemp(prefix="herald-testing-"))
    folder.chmod(0o711 if os.geteuid() == 0 else 0o700)  # for root it runs as somebody else
    cluster = postgres.prepare(folder, Signals())
    try:
        role = postgres.role(cluster, child_environment({}))
        options = [part for option in FORGETFUL for part in ("-c", option)]
        # ends at once, and gives back the shared memory that SIGKILL would leave
        role = replace(role, command=[*role.command, *options], stop_signal=signal.SIGQUIT, shows=show_every_line)
        with started(role, lambda: postgres.answers(cluster), folder / "postgres.log"):
            yield Databases(cluster)
    finally:
        for place in {folder, cluster.data.parent, cluster.socket.parent}:
            shutil.rmtree(place, ignore_errors=True)


@contextmanager
def kafka_broker(folder: Path) -> Iterator[str]:
    """The bootstrap servers of an empty broker. Raises NotInstalledError without the extra `embedded`, ServerError."""
    port = broker.free_port()
    role = replace(broker.role(port, folder, child_environment({})), stop_signal=signal.SIGKILL)
    with started(role, lambda: broker.answers(port), folder / "broker.log"):
        yield f"{broker.LOOPBACK}:{port}"
