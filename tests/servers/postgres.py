"""PostgreSQL from the wheel, run as a child of the tests."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg2
from psycopg2.extensions import cursor as Cursor  # noqa: N812 - a class with a lower-case name

from herald.outbox.up.servers.placement import UNPRIVILEGED, account_for
from herald.outbox.up.servers.wheels import postgres_programs, reachable
from tests.servers.child import Child
from tests.servers.disk import Disk
from tests.servers.eventually import eventually

SUPERUSER = "postgres"
FAST = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "64MB"}
DURABLE = {"fsync": "on", "shared_buffers": "256MB", "max_wal_size": "4GB"}


class PostgresServer:
    """One server on a Unix socket in a folder of its own; restartable on the same data.

    `options` are server settings: FAST forgets on power loss (tests), DURABLE does not (benchmarks).
    `copy_of` is a running server whose cluster this one copies, its system identifier too. With `disk`
    its folder is a file system of its own of so many bytes. `kept` is a folder whose cluster outlives the server: made
    by the first, used by the next.
    """

    def __init__(
        self,
        options: dict[str, str] | None = None,
        *,
        copy_of: "PostgresServer | None" = None,
        disk: int | None = None,
        kept: Path | None = None,
    ) -> None:
        self._user = UNPRIVILEGED if os.geteuid() == 0 else None
        self.folder = Path(tempfile.mkdtemp(prefix="herald-pg-"))  # not pytest's folder: that one is private to root
        self.disk = Disk(self.folder, disk) if disk else None
        self._bin = reachable(postgres_programs(), account_for(self.folder), lambda: self.folder) / "bin"
        self._data = kept or self.folder / "data"
        self._end_by = signal.SIGINT if kept else signal.SIGQUIT
        if kept:
            self._keep(kept)
        else:
            self._initialise(copy_of)
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
        with suppress(AssertionError):  # it did not end, and was killed
            self.child.stop(self._end_by)  # SIGQUIT: at once, and unlike SIGKILL it leaves no shared memory behind
        if self.disk:
            self.disk.unmount()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self.folder / f".s.PGSQL.{self._port}"

    def url_by(self, port: int, database: str = "postgres") -> str:
        """The URL by way of a proxy that listens on that port."""
        return f"postgresql://{SUPERUSER}@127.0.0.1:{port}/{database}"

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

    def freeze(self) -> None:
        """SIGSTOP to all of its processes; each session is one, in a group of its own."""
        for pid in self._pids():
            os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        for pid in self._pids():
            os.kill(pid, signal.SIGCONT)

    def cpu_seconds(self) -> float:
        """What all of its processes used since it started, those that have ended included."""
        postmaster, *others = self._pids()
        ticks = sum(_ticks(postmaster)) + sum(sum(_ticks(pid)[:2]) for pid in others)
        return ticks / os.sysconf("SC_CLK_TCK")

    def execute(self, statement: str, database: str = "postgres") -> None:
        """Run one statement outside a transaction, as superuser."""
        with self._opened(database) as cursor:
            cursor.execute(statement)

    def ask(self, query: str, database: str = "postgres") -> Any:
        """The one value that a query gives."""
        with self._opened(database) as cursor:
            cursor.execute(query)
            ((found,),) = cursor.fetchall()
        return found

    def set(self, name: str, value: str) -> None:
        """A setting of the whole server, from now on and after a restart."""
        self.execute(f"ALTER SYSTEM SET {name} = '{value}'")
        self.execute("SELECT pg_reload_conf()")

    def follow(self, primary: "PostgresServer", name: str = "standby") -> None:
        """From the next start on be a standby; this server is a copy of that one and does not run."""
        (self._data / "standby.signal").touch()
        with (self._data / "postgresql.auto.conf").open("a", encoding="utf-8") as settings:
            place = f"host={primary.folder} port={primary._port} user={SUPERUSER} application_name={name}"  # noqa: SLF001
            settings.write(f"primary_conninfo = '{place}'\n")

    def begin_at(self, transaction_id: int) -> None:
        """Give out ids from there on; it is new and does not run."""
        epoch, low = divmod(transaction_id, 1 << 32)
        low -= low % (1 << 20)  # pages of the commit log are whole files
        command = [str(self._bin / "pg_resetwal"), "-D", str(self._data), "-e", str(epoch), "-x", str(low)]
        done = subprocess.run(command, user=self._user, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        log = self._data / "pg_xact" / f"{low >> 20:04X}"
        if not log.exists():
            log.write_bytes(bytes(256 * 1024))
            if self._user:
                shutil.chown(log, self._user)

    def promote(self) -> None:
        """End being a standby; returns when it takes writes."""
        self.execute("SELECT pg_promote()")

    def read_wal(self, first: str, last: str, *options: str) -> Iterator[str]:
        """What pg_waldump says of the records between two places (LSN), line by line."""
        command = [str(self.tool("pg_waldump")), "-p", str(self._data / "pg_wal"), "-s", first, "-e", last, *options]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as reading:
            assert reading.stdout
            yield from reading.stdout
        assert reading.returncode == 0, command

    @contextmanager
    def _opened(self, database: str) -> Iterator[Cursor]:
        with closing(psycopg2.connect(self.url(database))) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                yield cursor

    def tool(self, name: str) -> Path:
        """A program of the same installation, for example `pg_isready`."""
        return self._bin / name

    def _initialise(self, origin: "PostgresServer | None") -> None:
        if self._user:
            shutil.chown(self.folder, self._user)
        if origin:
            command = [str(self._bin / "pg_basebackup"), "-d", origin.url(), "-D", str(self._data), "--no-sync"]
            self._run([*command, "--checkpoint=fast"])
        else:
            self._make_cluster(self._data)

    def _keep(self, kept: Path) -> None:
        """Make the cluster beside its place first: one that was not finished is never taken for one that is."""
        if self._user:
            shutil.chown(self.folder, self._user)
        if kept.exists():
            return
        unfinished = kept.with_name(f"{kept.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        if self._user:
            shutil.chown(unfinished, self._user)
        self._make_cluster(unfinished)
        unfinished.rename(kept)

    def _make_cluster(self, data: Path) -> None:
        command = [str(self._bin / "initdb"), "-D", str(data), "-U", SUPERUSER, "--auth=trust", "--no-sync"]
        self._run([*command, "--encoding=UTF8", "--locale=C"])

    def _run(self, command: Sequence[str]) -> None:
        done = subprocess.run(command, user=self._user, capture_output=True, text=True, check=False, cwd=self.folder)
        assert done.returncode == 0, done.stderr

    def _pids(self) -> list[int]:
        children = Path(f"/proc/{self.child.pid}/task/{self.child.pid}/children").read_text(encoding="ascii")
        return [self.child.pid, *map(int, children.split())]

    def _answers(self) -> bool:
        if not self.child.running:
            message = f"PostgreSQL ended at its start\n{self.child.tail()}"
            raise RuntimeError(message)
        try:
            psycopg2.connect(self.url(), connect_timeout=2).close()
        except psycopg2.OperationalError:
            return False
        return True


def _ticks(pid: int) -> list[int]:
    """User and system time, then those of children that ended; nothing of a process that is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except (FileNotFoundError, ProcessLookupError):
        return [0, 0, 0, 0]
    return [int(field) for field in text.rpartition(")")[2].split()[11:15]]


@contextmanager
def standby_of(primary: PostgresServer) -> Iterator[PostgresServer]:
    """A copy that follows it until it is promoted."""
    standby = PostgresServer(copy_of=primary)
    standby.follow(primary)
    with standby:
        yield standby
