"""Starts everything in order: servers, migration, then the processes of Herald."""

import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from pathlib import Path
from shutil import which

from herald.outbox.extensions import added
from herald.outbox.postgres.driver import errors
from herald.outbox.restarts import describe
from herald.outbox.settings import Settings
from herald.outbox.up import broker, postgres
from herald.outbox.up.child import StartError, until
from herald.outbox.up.environment import child_environment, is_open, shell_file, write_private
from herald.outbox.up.placement import POSTGRES, wheel
from herald.outbox.up.supervisor import Member, Player, Role, Signals, Supervisor
from herald.outbox.up.terminal import Terminal

REPORT = "troubled"  # the file below DATA that names processes which keep ending
START_TIMEOUT = 60.0  # seconds a server may take to answer; recovery after a crash is part of it
ENDS_AT_START = 3  # a server that ended so often before it ever answered will not answer
# when it is killed, in seconds after the shutdown began, and the events after which it does its work
BEFORE = (7.0, ())  # what is run before them, to its end
PROCESSES = {  # in the order in which they start; they stop in the other one
    "pipeline": (7.0, ("pipeline_started",)),
    "relay": (5.0, ("leading", "standing_by")),
    "api": (3.0, ("api_starting",)),
}


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
        """Start it all; the settings that hold. Raises StartError, StopRequestedError."""
        if added():
            self._finish("extensions", child_environment({}), "an extension is broken; nothing was started")
        servers = {
            "DATABASE_URL": self.given.database_url or self._database(),
            **self._kafka(),
            "HERALD_HOST": self.given.host,
            "HERALD_PORT": str(self.port),
        }
        write_private(self.data / "env", shell_file(servers, self._psql()))
        own = {"HERALD_SUPERVISION": str(self.data / REPORT), "HERALD_OPEN": "yes" if is_open(self.given) else "no"}
        env = child_environment({**servers, **own})
        self._finish("migrate", env, "the migration failed; nothing else was started")
        for place, name in enumerate(PROCESSES):
            self.supervisor.start(herald(name, env | self._watched(place)))
        return self.given.model_copy(update={"database_url": servers["DATABASE_URL"], "open": own["HERALD_OPEN"]})

    def _watched(self, place: int) -> dict[str, str]:
        """On one machine each needs a port of its own: the API, which starts last, gets the one that is set."""
        port = self.given.metrics_port
        return {"HERALD_METRICS_PORT": str(port + len(PROCESSES) - 1 - place)} if port else {}

    def _database(self) -> str:
        self.terminal.say("starting the embedded PostgreSQL 18")
        cluster = postgres.prepare(self.data, self.signals)
        if cluster.data.parent != self.data:
            self.terminal.say(
                f"{self.data} is closed to the user that PostgreSQL runs as: its data is in {cluster.data}", "yellow"
            )
        member = self.supervisor.start(postgres.role(cluster))
        self._wait_for(member, cluster.answers)
        with suppress(errors.DuplicateDatabase):
            cluster.execute(f"CREATE DATABASE {postgres.DATABASE}")
        return cluster.url()

    def _kafka(self) -> dict[str, str]:
        if self.given.kafka_bootstrap_servers:
            return {"KAFKA_BOOTSTRAP_SERVERS": self.given.kafka_bootstrap_servers}
        port = broker.free_port()
        member = self.supervisor.start(broker.role(port, self.data))
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
        self._until(lambda: member.in_a_row >= ENDS_AT_START or (member.child and answers()), START_TIMEOUT)
        if member.child is None or not answers():
            message = f"{member.role.name} does not start; its last lines are above"
            raise StartError(message)

    def _finish(self, name: str, env: Mapping[str, str], failed: str) -> None:
        """Run a command to its end. Raises StartError, with `failed`, where it ends otherwise than well."""
        child = Player(herald(name, env), self.terminal)
        try:
            self._until(lambda: child.code is not None, inf)
        finally:
            child.kill()
        if child.code:
            raise StartError(f"{failed} ({describe(child.code)})")

    def _until(self, holds: Callable[[], object], seconds: float) -> None:
        """Keep running meanwhile what was started before. Raises StopRequestedError."""

        def looked() -> object:
            self.supervisor.watch()
            return holds()

        until(looked, seconds, self.signals.wait)


def herald(name: str, env: Mapping[str, str]) -> Role:
    """One process of Herald."""
    stop_by, ready = PROCESSES.get(name, BEFORE)
    command = [sys.executable, "-P", "-m", "herald.outbox.cli", name]
    return Role(name=name, command=command, env=env, stop_by=stop_by, ready=frozenset(ready))
