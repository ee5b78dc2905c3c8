"""Starts everything in order: servers, migration, then the processes of Herald."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from time import monotonic

from herald.outbox.up.environment import Given, child_environment, for_libpq, shell_file, write_private
from herald.outbox.up.servers import broker, postgres
from herald.outbox.up.servers.wheels import postgres_programs
from herald.outbox.up.supervisor.child import Child, Role
from herald.outbox.up.supervisor.signals import Signals
from herald.outbox.up.supervisor.supervise import LAST_LINES, Member, Supervisor, describe
from herald.outbox.up.supervisor.terminal import Terminal

REPORT = "troubled"  # the file below DATA that names processes which keep ending
START_TIMEOUT = 60.0  # seconds a server may take to answer; recovery after a crash is part of it
LOOK = 0.05  # seconds between two looks at what is starting
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
    given: Given
    port: int
    terminal: Terminal
    signals: Signals
    supervisor: Supervisor

    def everything(self) -> None:
        """Start it all; what fails is raised: StartError, StopRequested, and the errors of the embedded servers."""
        servers = {
            "DATABASE_URL": self._database(),
            **self._kafka(),
            "HERALD_HOST": self.given.host,
            "HERALD_PORT": str(self.port),
            "HERALD_SUPERVISION": str(self.data / REPORT),
        }
        shown = {**servers, "DATABASE_URL": for_libpq(servers["DATABASE_URL"])}
        del shown["HERALD_SUPERVISION"]
        write_private(self.data / "env", shell_file(shown, self._psql()))
        env = child_environment(servers)
        self._migrate(env)
        for name in STOPPED_LAST_FIRST:
            self.supervisor.start(herald(name, env))

    def _database(self) -> str:
        if self.given.database_url:
            return self.given.database_url
        self.terminal.say("starting the embedded PostgreSQL 18")
        cluster = postgres.prepare(self.data, self.signals)
        if cluster.moved:
            self.terminal.say(
                f"{self.data} is closed to the user that PostgreSQL runs as: its data is in {cluster.data}", "yellow"
            )
        member = self.supervisor.start(postgres.role(cluster, child_environment({})))
        self._until(member, lambda: postgres.answers(cluster))
        postgres.make_database(cluster)
        return cluster.url()

    def _kafka(self) -> dict[str, str]:
        if self.given.kafka_bootstrap_servers:
            return {"KAFKA_BOOTSTRAP_SERVERS": self.given.kafka_bootstrap_servers}
        port = broker.free_port()
        member = self.supervisor.start(broker.role(port, self.data, child_environment({})))
        self._until(member, lambda: broker.answers(port))
        return {
            "KAFKA_BOOTSTRAP_SERVERS": f"{broker.LOOPBACK}:{port}",
            "HERALD_FETCH_WAIT": broker.FETCH_WAIT,
            "HERALD_SESSION_TIMEOUT": broker.SESSION_TIMEOUT,
        }

    def _psql(self) -> Path | None:
        """Return the folder of the wheel's psql for those who have none."""
        if self.given.database_url or which("psql"):
            return None
        return postgres_programs() / "bin"

    def _until(self, member: Member, answers: Callable[[], bool]) -> None:
        deadline = monotonic() + START_TIMEOUT
        while not (member.child and answers()):
            self.supervisor.watch()
            if member.ends >= ENDS_AT_START or monotonic() > deadline:
                message = f"{member.role.name} does not start; its last lines are above"
                raise StartError(message)
            self.signals.wait_unless_stopping(LOOK)

    def _migrate(self, env: Mapping[str, str]) -> None:
        child = Child(herald("migrate", env), self.terminal)
        try:
            while (code := child.poll()) is None:
                self.supervisor.watch()
                self.signals.wait_unless_stopping(LOOK)
        finally:
            child.kill()
            child.finish_output(LAST_LINES)
        if code:
            message = f"the migration failed ({describe(code)}); nothing else was started"
            raise StartError(message)


def herald(name: str, env: Mapping[str, str]) -> Role:
    """Describe one process of Herald."""
    command = [sys.executable, "-P", "-m", "herald.outbox.cli", name]
    return Role(name=name, command=command, env=env, stop_by=STOP_BY[name], ready=READY.get(name, frozenset()))
