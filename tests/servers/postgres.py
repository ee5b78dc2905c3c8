"""PostgreSQL from the wheel, run as a child of the tests."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from herald.outbox.postgres.driver import Connection, connect_plainly
from herald.outbox.up.placement import account_for
from herald.outbox.up.postgres import PORT, SUPERUSER, Cluster, programs_for
from tests.servers.child import Child
from tests.servers.disk import Disk
from tests.servers.eventually import eventually

MEMORY, ROOM = Path("/dev/shm"), 8 * 1024**3  # noqa: S108 - a folder of our own is made in it; bytes
FAST = {"fsync": "off", "max_prepared_transactions": "5", "full_page_writes": "off", "shared_buffers": "64MB"}
PATH = "-c search_path=herald,public"  # where Herald's tables are unless a test says otherwise
DURABLE = {"fsync": "on", "shared_buffers": "256MB", "max_wal_size": "4GB"}


def _place_for(options: dict[str, str]) -> Path | None:
    """In memory where there is enough and nothing has to last: ext4 looks through all the files it has just deleted.

    A database per test has it spend more time in that than PostgreSQL needs.
    """
    if options.get("fsync") != "off" or not MEMORY.is_dir():
        return None
    found = os.statvfs(MEMORY)
    has_room = found.f_bavail * found.f_frsize > ROOM
    return MEMORY if has_room and not found.f_flag & os.ST_NOEXEC else None


def connect_to_tables(url: str) -> Connection:
    """As a program of somebody else connects who knows where Herald's tables are, and sets nothing but that."""
    return connect_plainly(url, options=PATH)


class PostgresServer:
    """One server on a Unix socket in a folder of its own; restartable on the same data.

    `options` are server settings: FAST forgets on power loss (tests), DURABLE does not (benchmarks).
    `copy_of` is a running server whose cluster this one copies, its system identifier too. With `disk`
    its folder is a file system of its own of so many bytes. `kept` is a folder whose cluster outlives the server: made
    by the first, used by the next. `like` is such a folder that no server uses now: this one begins with a copy of it.
    """

    def __init__(
        self,
        options: dict[str, str] | None = None,
        *,
        copy_of: "PostgresServer | None" = None,
        disk: int | None = None,
        kept: Path | None = None,
        like: Path | None = None,
    ) -> None:
        made_in = _place_for(FAST if options is None else options)
        self.folder = Path(tempfile.mkdtemp(prefix="herald-pg-", dir=made_in))  # pytest's own is private to root
        self.disk = Disk(self.folder, disk) if disk else None
        settings = {"max_connections": "200", **(FAST if options is None else options)}
        account = account_for(self.folder)
        programs, port = programs_for(account, self.folder), int(settings.pop("port", PORT))
        self._cluster = Cluster(programs, kept or self.folder / "data", self.folder, account, port)
        self._end_by = signal.SIGINT if kept else signal.SIGQUIT
        os.chown(self.folder, *account)
        if copy_of:
            copied = ("-d", copy_of.url(), "-D", self._cluster.data, "--no-sync", "--checkpoint=fast")
            self._cluster.run("pg_basebackup", *copied)
        elif like:
            subprocess.run(["cp", "-a", like, self._cluster.data], check=True)  # -a: it stays its account's
        elif not self._cluster.data.exists():
            self._cluster.data.parent.mkdir(parents=True, exist_ok=True)
            self._cluster.initialise("--no-sync")
        command = self._cluster.server(**settings)
        self.child = Child(command, log=self.folder / "postgres.log", account=account, cwd=self.folder)

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
        return self.folder / f".s.PGSQL.{self._cluster.port}"

    def url_by(self, port: int, database: str = "postgres") -> str:
        """The URL by way of a proxy that listens on that port."""
        return f"postgresql://{SUPERUSER}@127.0.0.1:{port}/{database}"

    def url(self, database: str = "postgres") -> str:
        """For libpq, psql and DATABASE_URL alike; SQLAlchemy wants it by way of `Settings`."""
        return self._cluster.url(database)

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
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, number: signal.Signals) -> None:
        for pid in self._pids():
            with suppress(ProcessLookupError):  # a session that ended since
                os.kill(pid, number)

    def cpu_seconds(self) -> float:
        """What all of its processes used since it started, those that have ended included."""
        postmaster, *others = self._pids()
        ticks = sum(_ticks(postmaster)) + sum(sum(_ticks(pid)[:2]) for pid in others)
        return ticks / os.sysconf("SC_CLK_TCK")

    def execute(self, statement: str, database: str = "postgres") -> None:
        """Run one statement outside a transaction, as superuser; Herald's tables come before others."""
        with closing(connect_to_tables(self.url(database))) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            cursor.execute(statement)

    def ask(self, query: str, database: str = "postgres") -> Any:
        """The one value that a query gives."""
        with closing(connect_to_tables(self.url(database))) as connection, connection.cursor() as cursor:
            cursor.execute(query)
            ((found,),) = cursor.fetchall()
        return found

    def set(self, name: str, value: str) -> None:
        """A setting of the whole server, from now on and after a restart."""
        self.execute(f"ALTER SYSTEM SET {name} = '{value}'")
        self.execute("SELECT pg_reload_conf()")

    def follow(self, primary: "PostgresServer", name: str = "standby") -> None:
        """From the next start on be a standby; this server is a copy of that one and does not run."""
        (self._cluster.data / "standby.signal").touch()
        with (self._cluster.data / "postgresql.auto.conf").open("a", encoding="utf-8") as settings:
            place = f"host={primary.folder} port={primary._cluster.port} user={SUPERUSER} application_name={name}"  # noqa: SLF001
            settings.write(f"primary_conninfo = '{place}'\n")

    def begin_at(self, transaction_id: int) -> None:
        """Give out ids from there on; it is new and does not run."""
        epoch, low = divmod(transaction_id, 1 << 32)
        low -= low % (1 << 20)  # pages of the commit log are whole files
        self._cluster.run("pg_resetwal", "-D", self._cluster.data, "-e", str(epoch), "-x", str(low))
        log = self._cluster.data / "pg_xact" / f"{low >> 20:04X}"
        if not log.exists():
            log.write_bytes(bytes(256 * 1024))
            os.chown(log, *self._cluster.account)

    def promote(self) -> None:
        """End being a standby; returns when it takes writes."""
        self.execute("SELECT pg_promote()")

    def read_wal(self, first: str, last: str, *options: str) -> Iterator[str]:
        """What pg_waldump says of the records between two places (LSN), line by line."""
        log = self._cluster.data / "pg_wal"
        command = [str(self.tool("pg_waldump")), "-p", str(log), "-s", first, "-e", last, *options]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as reading:
            assert reading.stdout
            yield from reading.stdout
        assert reading.returncode == 0, command

    def tool(self, name: str) -> Path:
        """A program of the same installation, for example `pg_isready`."""
        return self._cluster.programs / "bin" / name

    def _pids(self) -> list[int]:
        children = Path(f"/proc/{self.child.pid}/task/{self.child.pid}/children").read_text(encoding="ascii")
        return [self.child.pid, *map(int, children.split())]

    def _answers(self) -> bool:
        if not self.child.running:
            message = f"PostgreSQL ended at its start\n{self.child.tail()}"
            raise RuntimeError(message)
        return self._cluster.answers()


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
