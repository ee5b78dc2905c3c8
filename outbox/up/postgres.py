"""The embedded PostgreSQL: placed, initialised and described as a role for the supervisor.

Only the programs of the wheel are used. Its Python would open every folder above the data to all users.
"""

import os
import shutil
import signal
import sys
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from herald.outbox.postgres.driver import OperationalError, connect_plainly
from herald.outbox.postgres.statements import execute
from herald.outbox.up.child import OURS, Account, StartError, until
from herald.outbox.up.placement import (
    POSTGRES,
    SOCKET,
    account_for,
    elsewhere_for,
    home_for,
    make_folder,
    reachable,
    run,
    socket_folder,
    wheel,
)
from herald.outbox.up.supervisor import Role, Signals

SUPERUSER = "postgres"
DATABASE = "herald"
PORT = 5432
STOP_BY = 9.0  # seconds after the shutdown began; a fast shutdown writes a checkpoint
ORPHAN = ((signal.SIGINT, 5.0), (signal.SIGQUIT, 3.0), (signal.SIGKILL, 2.0))  # seconds each may take
# trust is enough: only the owner of the socket's folder reaches the server
INITDB = ("--auth=trust", "--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")


@dataclass(frozen=True)
class Cluster:
    """Where one embedded PostgreSQL lives, and as whom."""

    programs: Path
    data: Path
    socket: Path
    account: Account = OURS
    port: int = PORT  # names the socket; there is no TCP

    def url(self, database: str = DATABASE) -> str:
        """For libpq; it names the port because PGPORT might name another."""
        return f"postgresql://{SUPERUSER}@/{database}?host={quote(str(self.socket), safe='/')}&port={self.port}"

    def run(self, program: str, *arguments: str | Path) -> None:
        """Run a program of the same installation to its end. Raises StartError."""
        run(self.account, self.programs / "bin" / program, *arguments)

    def initialise(self, *more: str) -> None:
        """Make the data, whole or not at all: a Ctrl-C leaves no half of it. Raises StartError."""
        unfinished = self.data.with_name(f"{self.data.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        make_folder(unfinished, mode=0o700, account=self.account)
        self.run("initdb", "--pgdata", unfinished, "--username", SUPERUSER, *INITDB, *more)
        unfinished.rename(self.data)

    def server(self, **settings: str) -> list[str]:
        """The server in the foreground, on its socket alone; fsync stays on unless the settings say otherwise."""
        options = {
            "listen_addresses": "",
            "unix_socket_directories": '"{}"'.format(str(self.socket).replace('"', '""')),
            "unix_socket_permissions": "0700",
            "port": str(self.port),
            "log_destination": "stderr",
            "logging_collector": "off",
            "log_line_prefix": "",
            "log_min_error_statement": "panic",  # statements hold people's data
            "timezone": "UTC",
            **settings,
        }
        pairs = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        return [str(self.programs / "bin" / "postgres"), "-D", str(self.data), *pairs]

    def answers(self) -> bool:
        """Whether it takes connections."""
        try:
            connect_plainly(self.url("postgres"), connect_timeout=2).close()
        except OperationalError:
            return False
        return True

    def execute(self, statement: str, database: str = "postgres") -> None:
        """Run one statement outside a transaction."""
        with closing(connect_plainly(self.url(database), connect_timeout=5)) as connection:
            connection.autocommit = True
            execute(connection, statement)


def programs_for(account: Account, staging: Path) -> Path:
    """PostgreSQL 18 (`bin`, `lib`, `share`) where that account can run it. Raises StartError."""
    return reachable(wheel(POSTGRES) / "pginstall18", account, staging)


def prepare(data: Path, signals: Signals) -> Cluster:
    """Place the cluster, stop who still runs on it, initialise it when it is new. Raises StartError."""
    account = account_for(data)
    programs = programs_for(account, elsewhere_for(data))  # first: where they are missing nothing is made
    home = home_for(data, account)
    socket = make_folder(socket_folder(home, data), mode=0o700, account=account)
    cluster = Cluster(programs, home / "postgres", socket, account)
    stop_orphan(cluster.data, socket, signals)
    if not cluster.data.exists():
        cluster.initialise()
    if not (cluster.data / "PG_VERSION").exists():
        message = f"{cluster.data} exists and holds no PostgreSQL data: move it away, or choose another --data"
        raise StartError(message)
    return cluster


def role(cluster: Cluster) -> Role:
    """The server as a child."""
    return Role(
        name="postgres",
        command=cluster.server(),
        stop_by=STOP_BY,
        account=cluster.account,
        stop_signal=signal.SIGINT,  # "fast": SIGTERM would wait for every session to leave
        orphan_signal=signal.SIGINT,
        shows=worth_showing,
    )


def worth_showing(line: str) -> bool:
    """Whether a line of the server is about trouble and not its ordinary life."""
    return bool(line) and not line.startswith("LOG:")


def stop_orphan(data: Path, socket: Path, signals: Signals) -> None:
    """Stop the server that outlived a killed `herald up`, or remove lock files that name another program's process.

    PostgreSQL itself removes a lock file whose process is gone, but refuses to start when the number was given
    to somebody else of the same user: usual in a container, where the numbers begin anew at each start.
    Whoever calls this holds the lock of the data folder: no other `herald up` can be using the server.
    """
    lock = data / "postmaster.pid"
    with suppress(FileNotFoundError, IndexError, ValueError, ProcessLookupError):  # nobody, or gone
        pid = int(lock.read_text().split()[0])
        with suppress(PermissionError):  # somebody else's
            os.kill(pid, 0)
        if not _serves(pid, data):
            lock.unlink(missing_ok=True)
            (socket / f"{SOCKET}.lock").unlink(missing_ok=True)
            return
        for number, seconds in ORPHAN:
            os.kill(pid, number)
            # not whether it lives: nobody may be there to reap an orphan
            if until(lambda: not _serves(pid, data), seconds, signals.wait):
                return


def _serves(pid: int, data: Path) -> bool:
    """Whether this process is the postmaster of `data`: it works in that folder."""
    if sys.platform == "linux":
        try:
            return Path(f"/proc/{pid}/cwd").readlink() == data.resolve()
        except OSError:
            return False
    with suppress(StartError):  # there is no such process
        shown = run(OURS, "/bin/ps", "-o", "command=", "-p", str(pid))
        return "postgres" in shown and str(data) in shown
    return False
