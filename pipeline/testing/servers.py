"""The servers of a test run: those that `herald up` brings along, in a folder that goes with them."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

from alembic import command as alembic

from herald.outbox.operate.migrate import make_config
from herald.outbox.postgres.engine import make_engine
from herald.outbox.up import broker
from herald.outbox.up.child import OURS, Account, Child, StartError, until
from herald.outbox.up.placement import elsewhere_for
from herald.outbox.up.postgres import Cluster, prepare
from herald.outbox.up.supervisor import Signals
from herald.pipeline.testing.clock import SCHEMA, VirtualClock
from herald.pipeline.testing.settings import make_settings

START_TIMEOUT = 60.0  # seconds until a server has to answer
STOP_TIMEOUT = 5.0  # seconds until one that was asked to end is killed
TEMPLATE = "herald_template"
FORGETFUL = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "max_connections": "200"}


class Databases:
    """One PostgreSQL: each test has a migrated database of its own, copied within 50 ms."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        cluster.execute(f"CREATE DATABASE {TEMPLATE}")
        engine = make_engine(make_settings({"DATABASE_URL": cluster.url(TEMPLATE)}), "herald-testing")
        config = make_config()
        config.attributes["connection"] = engine
        alembic.upgrade(config, "head")
        engine.dispose()

    @contextmanager
    def fresh(self) -> Iterator[str]:
        """The URL of a migrated database with a clock that can be moved; dropped with whoever is still connected."""
        name = f"test_{uuid4().hex}"
        self._cluster.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
        try:
            self._cluster.execute(f"SELECT {SCHEMA}.instance_takes_place(true)", name)
            VirtualClock(self._cluster.url(name)).install()
            yield self._cluster.url(name)
        finally:
            self._cluster.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def postgres_server() -> Iterator[Databases]:
    """PostgreSQL for a test run. Raises StartError, also without the extra `embedded`."""
    with TemporaryDirectory(prefix="herald-testing-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o711 if os.geteuid() == 0 else 0o700)  # for root it runs as somebody else
        cluster = prepare(folder, Signals())
        try:
            # ends at once, and gives back the shared memory that SIGKILL would leave
            stop = signal.SIGQUIT
            command, log = cluster.server(**FORGETFUL), folder / "postgres.log"
            with _running(command, cluster.answers, log, stop=stop, account=cluster.account):
                yield Databases(cluster)
        finally:
            for elsewhere in {elsewhere_for(folder), cluster.socket.parent} - {folder}:
                shutil.rmtree(elsewhere, ignore_errors=True)


@contextmanager
def kafka_broker(folder: Path) -> Iterator[str]:
    """The bootstrap servers of an empty broker. Raises StartError, also without the extra `embedded`."""
    port = broker.free_port()
    command = broker.command(port, folder)
    with _running(command, lambda: broker.accepts(port), folder / "broker.log", stop=signal.SIGKILL):
        yield f"{broker.LOOPBACK}:{port}"


@contextmanager
def _running(
    command: Sequence[str], answers: Callable[[], bool], log: Path, *, stop: signal.Signals, account: Account = OURS
) -> Iterator[None]:
    with log.open("w", encoding="utf-8") as file:
        child = Child(command, output=file, account=account)
    try:
        if not until(lambda: child.code is not None or answers(), START_TIMEOUT) or child.code is not None:
            message = f"{command[0]} does not start (exit code {child.code}):\n{log.read_text()[-2000:]}"
            raise StartError(message)
        yield
    finally:
        child.stop(stop, STOP_TIMEOUT)
