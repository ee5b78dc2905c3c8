"""The embedded PostgreSQL: placed, initialised and described as a role for the supervisor.

Only the programs of the wheel are used. Its Python would open every folder above the data to all users.
"""

import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg2
from psycopg2 import sql

from herald.outbox.up.servers.orphan import stop_orphan
from herald.outbox.up.servers.placement import (
    PlacementError,
    account_for,
    elsewhere_for,
    make_folder,
    place,
    socket_home,
)
from herald.outbox.up.servers.wheels import postgres_programs, reachable
from herald.outbox.up.supervisor.child import Account, Role
from herald.outbox.up.supervisor.signals import Signals

SUPERUSER = "postgres"
DATABASE = "herald"
PORT = 5432  # names the socket; there is no TCP
STOP_BY = 9.0  # seconds after the shutdown began; a fast shutdown writes a checkpoint
INITDB_TIMEOUT = 120.0  # seconds


class PostgresError(Exception):
    """The embedded PostgreSQL cannot be made; the text holds what initdb said."""


@dataclass(frozen=True)
class Cluster:
    """Where one embedded PostgreSQL lives."""

    programs: Path
    data: Path
    socket: Path
    account: Account | None
    moved: bool

    def url(self, database: str = DATABASE) -> str:
        """Return a URL for libpq; it names the port because PGPORT might name another."""
        return f"postgresql://{SUPERUSER}@/{database}?host={quote(str(self.socket), safe='/')}&port={PORT}"


def prepare(data: Path, signals: Signals) -> Cluster:
    """Place the cluster, stop who still runs on it, initialise it when it is new.

    Raises PlacementError, NotInstalledError and PostgresError.
    """
    account = account_for(data)
    placement = place(data, account, elsewhere=elsewhere_for(data))
    if placement.moved:
        make_folder(placement.home, mode=0o711)
    sockets = socket_home(placement.home, data)
    if sockets != placement.home:
        make_folder(sockets, mode=0o711)
    make_folder(sockets / "socket", mode=0o700, account=account)
    programs = reachable(postgres_programs(), account, lambda: _make_staging(data))
    cluster = Cluster(programs, placement.home / "postgres", sockets / "socket", account, placement.moved)
    stop_orphan(cluster.data, cluster.socket, signals)
    _initialise(cluster)
    return cluster


def role(cluster: Cluster, env: dict[str, str]) -> Role:
    """Describe the server in the foreground; fsync stays on."""
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": '"{}"'.format(str(cluster.socket).replace('"', '""')),
        "unix_socket_permissions": "0700",
        "port": str(PORT),
        "log_destination": "stderr",
        "logging_collector": "off",
        "log_line_prefix": "",
        "log_min_error_statement": "panic",  # statements hold people's data
        "timezone": "UTC",
    }
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    return Role(
        name="postgres",
        command=[str(cluster.programs / "bin" / "postgres"), "-D", str(cluster.data), *options],
        env=env,
        stop_by=STOP_BY,
        account=cluster.account,
        stop_signal=signal.SIGINT,  # "fast": SIGTERM would wait for every session to leave
        orphan_signal=signal.SIGINT,
        shows=worth_showing,
    )


def worth_showing(line: str) -> bool:
    """Whether a line of the server is about trouble and not its ordinary life."""
    return not line.startswith("LOG:")


def answers(cluster: Cluster) -> bool:
    """Whether the server takes connections."""
    try:
        psycopg2.connect(cluster.url("postgres"), connect_timeout=2).close()
    except psycopg2.OperationalError:
        return False
    return True


def make_database(cluster: Cluster) -> None:
    """Create the database unless it exists."""
    connection = psycopg2.connect(cluster.url("postgres"), connect_timeout=5)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,))
            if cursor.fetchone() is None:
                cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
    finally:
        connection.close()


def _make_staging(data: Path) -> Path:
    """Return the folder that programs are copied to; its name leads through no private folder."""
    staging = elsewhere_for(data)
    make_folder(staging, mode=0o711)
    return staging


def _initialise(cluster: Cluster) -> None:
    if (cluster.data / "PG_VERSION").exists():
        return
    if cluster.data.exists():
        message = f"{cluster.data} exists and holds no PostgreSQL data: move it away, or choose another --data"
        raise PlacementError(message)
    unfinished = cluster.data.with_name("postgres.unfinished")  # renamed when whole: a Ctrl-C leaves no half cluster
    shutil.rmtree(unfinished, ignore_errors=True)
    make_folder(unfinished, mode=0o700, account=cluster.account)
    _initdb(cluster, unfinished)
    unfinished.rename(cluster.data)


def _initdb(cluster: Cluster, folder: Path) -> None:
    command = [str(cluster.programs / "bin" / "initdb"), "--pgdata", str(folder), "--username", SUPERUSER]
    # trust is enough: only the owner of the socket's folder reaches the server
    command += ["--auth=trust", "--encoding=UTF8"]
    command += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    account = cluster.account or Account(os.geteuid(), os.getegid())
    done = subprocess.run(  # noqa: S603 - our own command
        command,
        user=account.uid if cluster.account else None,
        group=account.gid if cluster.account else None,
        extra_groups=[] if cluster.account else None,
        cwd="/",
        start_new_session=True,
        capture_output=True,
        text=True,
        check=False,
        timeout=INITDB_TIMEOUT,
    )
    if done.returncode:
        message = f"initdb failed:\n{done.stdout}{done.stderr}"
        raise PostgresError(message)
