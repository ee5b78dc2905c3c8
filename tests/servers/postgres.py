"""PostgreSQL from the wheel, run as a child of the tests."""

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg2

from outbox.up.placement import UNPRIVILEGED, account_for
from outbox.up.wheels import postgres_programs, reachable
from tests.servers.child import Child
from tests.servers.eventually import eventually

SUPERUSER = "postgres"
FAST = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "64MB"}
DURABLE = {"fsync": "on", "shared_buffers": "256MB", "max_wal_size": "4GB"}


class PostgresServer:
    """One server on a Unix socket in a folder of its own; restartable on the same data.

    `options` are server settings: FAST forgets on power loss (tests), DURABLE does not (benchmarks).
    """

    def __init__(self, options: dict[str, str] | None = None) -> None:
        self._user = UNPRIVILEGED if os.geteuid() == 0 else None
        self.folder = Path(tempfile.mkdtemp(prefix="herald-pg-"))  # not pytest's folder: that one is private to root
        self._bin = reachable(postgres_programs(), account_for(self.folder), lambda: self.folder) / "bin"
        self._data = self.folder / "data"
        self._initialise()
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.folder),
            "max_connections": "200",
            **(FAST if options is None else options),
        }
        self._port = settings.get("port", "5432")
        command = [str(self._bin / "postgres"), "-D", str(self._data)]
        command += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self.child = Child(command, log=self.folder / "postgres.log", user=self._user, cwd=self.folder)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.child.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database: str = "postgres") -> str:
        """For libpq, psql and DATABASE_URL alike; SQLAlchemy wants it by way of `Settings`."""
        return f"postgresql://{SUPERUSER}@/{database}?host={self.folder}&port={self._port}"

    def start(self) -> None:
        self.child.start()
        eventually(self._answers, 30.0, what="PostgreSQL answers")

    def stop(self) -> None:
        """Fast shutdown: sessions are cut, nothing is lost."""
        self.child.stop(signal.SIGINT)

    def kill(self) -> None:
        """Like a power cut of the machine's processes: recovery runs at the next start."""
        self.child.kill()

    def execute(self, statement: str) -> None:
        """Run one statement outside a transaction, as superuser in the database `postgres`."""
        connection = psycopg2.connect(self.url())
        try:
            connection.autocommit = True
            connection.cursor().execute(statement)
        finally:
            connection.close()

    def tool(self, name: str) -> Path:
        """A program of the same installation, for example `pg_isready`."""
        return self._bin / name

    def _initialise(self) -> None:
        if self._user:
            shutil.chown(self.folder, self._user)
        command = [str(self._bin / "initdb"), "-D", str(self._data), "-U", SUPERUSER, "--auth=trust", "--no-sync"]
        command += ["--encoding=UTF8", "--locale=C"]
        done = subprocess.run(command, user=self._user, capture_output=True, text=True, check=False, cwd=self.folder)
        assert done.returncode == 0, done.stderr

    def _answers(self) -> bool:
        if not self.child.running:
            message = f"PostgreSQL ended at its start\n{self.child.tail()}"
            raise RuntimeError(message)
        try:
            psycopg2.connect(self.url(), connect_timeout=2).close()
        except psycopg2.OperationalError:
            return False
        return True
