"""Starts everything in order: servers, migration, then the processes of Herald."""

import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from pathlib import Path
from shutil import which

from psycopg2.errors import DuplicateDatabase

from herald.outbox.settings import Settings
from herald.outbox.up import broker, postgres
from herald.outbox.up.child import until
from herald.outbox.up.environment import child_environment, shell_file, write_private
from herald.outbox.up.placement import POSTGRES, wheel
from herald.outbox.up.signals import Signals
from herald.outbox.up.supervisor import Member, Player, Role, Supervisor, describe
from herald.outbox.up.terminal import Terminal

REPORT = "troubled"  # the file below DATA that names processes which keep ending
START_TIMEOUT = 60.0  # seconds a server may take to answer; recovery after a crash is part of it
ENDS_AT_START = 3  # a server that ended so often before it ever answered will not answer
STOP_BY = {"api": 3.0, "relay": 5.0, "pipeline": 7.0, "migrate": 7.0}  # seconds after the shutdown began
STOPPED_LAST_FIRST = ("pipeline", "relay", "api")
READY = {  # the events after which a process does its work
    "api": frozenset({"api_starting"}),
    "relay": frozenset({"leading", "standing_by"}),
    "pipeline": frozenset({"pipeline_started"}),
}


class StartError(Exception):
    """Something did not start; the text says what, the log above says why."""


@dataclass(frozen=True)
class Start:
    """One start of everything on one data folder."""

    data: Path
    given: Settings
    port: int
    terminal: Terminal
    signals: Signals
    supervisor: Supervisor

    def everything(self) -> Settings:
        """Start it all; the settings that hold. Raises StartError, StopRequested, and the embedded servers' errors."""
        servers = {
            "DATABASE_URL": self.given.database_url or self._database(),
            **self._kafka(),
            "HERALD_HOST": self.given.host,
            "HERALD_PORT": str(self.port),
        }
        write_private(self.data / "env", shell_file(servers, self._psql()))
        env = child_environment({**servers, "HERALD_SUPERVISION": str(self.data / REPORT)})
        self._migrate(env)
        for name in STOPPED_LAST_FIRST:
            self.supervisor.start(herald(name, env))
        return self.given.model_copy(update={"database_url": servers["DATABASE_URL"]})

    def _database(self) -> str:
        self.terminal.say("starting the embedded PostgreSQL 18")
        cluster = postgres.prepare(self.data, self.signals)
        if cluster.data.parent != self.data:
            self.terminal.say(
                f"{self.data} is closed to the user that PostgreSQL runs as: its data is in {cluster.data}", "yellow"
            )
        member = self.supervisor.start(postgres.role(cluster, child_environment({})))
        self._wait_for(member, cluster.answers)
        with suppress(DuplicateDatabase):
            cluster.execute(f"CREATE DATABASE {postgres.DATABASE}")
        return cluster.url()

    def _kafka(self) -> dict[str, str]:
        if self.given.kafka_bootstrap_servers:
            return {"KAFKA_BOOTSTRAP_SERVERS": self.given.kafka_bootstrap_servers}
        port = broker.free_port()
        member = self.supervisor.start(broker.role(port, self.data, child_environment({})))
        self._wait_for(member, lambda: broker.accepts(port))
        return {
            "KAFKA_BOOTSTRAP_SERVERS": f"{broker.LOOPBACK}:{port}",
            "HERALD_FETCH_WAIT": broker.FETCH_WAIT,
            "HERALD_SESSION_TIMEOUT": broker.SESSION_TIMEOUT,
        }

    def _psql(self) -> Path | None:
        """The folder of the wheel's psql for those who have none."""
        return None if self.given.database_url or which("psql") else wheel(POSTGRES) / "pginstall18" / "bin"

    def _wait_for(self, member: Member, answers: Callable[[], bool]) -> None:
        def is_over() -> bool:
            self.supervisor.watch()
            return member.ends >= ENDS_AT_START or (member.child is not None and answers())

        if not until(is_over, START_TIMEOUT, self.signals.wait) or member.ends >= ENDS_AT_START:
            message = f"{member.role.name} does not start; its last lines are above"
            raise StartError(message)

    def _migrate(self, env: Mapping[str, str]) -> None:
        child = Player(herald("migrate", env), self.terminal)

        def is_over() -> bool:
            self.supervisor.watch()
            return child.code is not None

        try:
            until(is_over, inf, self.signals.wait)
        finally:
            child.end()
        if child.code:
            message = f"the migration failed ({describe(child.code)}); nothing else was started"
            raise StartError(message)


def herald(name: str, env: Mapping[str, str]) -> Role:
    """One process of Herald."""
    command = [sys.executable, "-P", "-m", "herald.outbox.cli", name]
    return Role(name=name, command=command, env=env, stop_by=STOP_BY[name], ready=READY.get(name, frozenset()))
