"""A Herald of two of each, each process with a login of its own, watched by a real Prometheus, and under load."""

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from threading import Event
from uuid import UUID, uuid4

from confluent_kafka.admin import AdminClient, NewPartitions

from herald.outbox.postgres.driver import PostgresError
from tests.conftest import migrate
from tests.proof.end_to_end.destinations import mail_to
from tests.proof.faults.fleet import ROLES, Fleet
from tests.proof.faults.ledger import Load
from tests.proof.faults.provider import Provider
from tests.servers.apache_kafka import ApacheKafka
from tests.servers.eventually import eventually
from tests.servers.herald import herald_environment
from tests.servers.http_server import HttpServer
from tests.servers.meanwhile import Meanwhile
from tests.servers.ports import free_port
from tests.servers.postgres import DURABLE, PostgresServer
from tests.servers.prometheus import Prometheus
from tests.servers.smtp_server import SmtpServer

RATE = 8.0  # requests per second
TURN = 0.5  # seconds between two looks of the supervisor, and of who listens to the alerts
DELIVERED = 120.0  # seconds until a message of a healthy Herald is sent, on a busy machine
SETTINGS = {
    "HERALD_BREAKER_CAP": "20",  # what works again is found to work soon
    "HERALD_RETRY_CAP": "20",
    "HERALD_KAFKA_PATIENCE": "10",
}
SCRIPTS = {  # of this supervisor
    "start": '#!/bin/sh\nexec touch "{folder}/wanted/$1"\n',
    "logs": '#!/bin/sh\nexec cat {folder}/"$1"-*.log\n',
}
PATIENCE = 300.0  # seconds for the commands of a runbook
ON_SECOND = "generic_topic", 5  # a topic, and how many partitions it gets: the last is on the second broker


class Receiver(HttpServer):
    """Answers each webhook to its address with a status of errors until it is mended."""

    def __init__(self, status: int) -> None:
        super().__init__()
        self._status = status

    @property
    def address(self) -> str:
        return self.url("/take")

    def mend(self) -> None:
        self._status = 200

    def _do_take(self, connection: socket.socket, *_: str) -> bool:
        return self._do_status(connection, str(self._status))


@dataclass
class Stage:
    """Servers, processes and what watches them; members that are `held` stay ended."""

    folder: Path
    server: PostgresServer
    kafka: ApacheKafka
    second: ApacheKafka
    mail: SmtpServer
    provider: Provider
    fleet: Fleet
    prometheus: Prometheus
    stack: ExitStack
    held: set[str] = field(default_factory=set)
    seen: Counter[str] = field(default_factory=Counter)  # alerts that fired, by name: in how many looks
    pending: Counter[str] = field(default_factory=Counter)

    def hold(self, *names: str) -> None:
        """Kill them, and let nobody start them again."""
        self.held.update(names)
        for name in names:
            self.fleet.members[name].kill()

    def release(self, *names: str) -> None:
        """The supervisor starts them."""
        self.held.difference_update(names)

    def send(self, channel: str, address: str | None = None, *, deliver_in: float = 0.0) -> str:
        """By whichever API accepts it, to be delivered in so many seconds; returns the id."""
        due = {"deliver_at": (datetime.now(UTC) + timedelta(seconds=deliver_in)).isoformat()} if deliver_in else {}
        said = {"user_id": f"user-{uuid4().hex[:6]}", "event": "alert", "content": "hello"}
        body = json.dumps({**said, "channel": channel, "address": address, **due})
        return str(eventually(lambda: self._try_to_send(body), what="an API accepts"))

    def receiver(self, status: int) -> Receiver:
        """One that is not well."""
        return self.stack.enter_context(Receiver(status))

    def start_kafka(self) -> None:
        """Each broker that does not run; returns at once."""
        for broker in (self.kafka, self.second):
            if not broker.running:
                broker.child.start()

    def status(self, message: str) -> str:
        return str(self.server.ask(f"SELECT status FROM messages WHERE id = '{UUID(message)}'"))

    def is_sent(self, message: str) -> bool:
        return self.status(message) == "sent"

    def deliver(self, channel: str, address: str | None = None) -> None:
        """One message, to its end. Raises AssertionError."""
        message = self.send(channel, address)
        eventually(lambda: self.is_sent(message), DELIVERED, what=f"a message over {channel} is sent")

    @property
    def channels(self) -> list[tuple[str, str | None]]:
        """Each with an address that is well."""
        return [("log", None), ("webhook", self.provider.address), ("email", "ada@example.com")]

    @property
    def firing(self) -> set[str]:
        """The names of alerts, as Prometheus says."""
        return self.prometheus.firing()

    def run(self, commands: str) -> str:
        """What a shell prints that has the settings of Herald; raises AssertionError where a command fails.

        `start` and `logs` are there as docs/runbooks say.
        """
        command = ["bash", "-euo", "pipefail", "-c", commands]
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self._environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, f"{commands}\nfailed with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done.stdout

    def _environment(self) -> dict[str, str]:
        path = os.pathsep.join([str(self.folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
        return herald_environment({**self.fleet.settings, "PATH": path, "COLUMNS": "300", "PAGER": "cat"})

    def load(self, rate: float = RATE) -> Load:
        return Load(self.fleet.ports, self.provider.address, rate=rate)

    def _try_to_send(self, body: str) -> str | None:
        for port in self.fleet.ports:
            with suppress(OSError, HTTPException), closing(HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
                connection.request("POST", "/notifications", body, {"content-type": "application/json"})
                answer = connection.getresponse()
                if answer.status == HTTPStatus.ACCEPTED:
                    return str(json.loads(answer.read())["id"])
        return None

    def look(self) -> None:
        """One turn of the supervisor, and of who counts alerts."""
        for wanted in (self.folder / "wanted").iterdir():
            self._start(wanted.name)
            wanted.unlink()
        self.fleet.revive(but=[self.fleet.members[name] for name in set(self.held)])
        for alert in set(self.prometheus.alerts()):
            (self.seen if alert.state == "firing" else self.pending)[alert.name] += 1

    def _start(self, what: str) -> None:
        """What a person asked for."""
        self.release(*self.fleet.of(what))
        if what == "kafka":
            self.start_kafka()


@contextmanager
def staged() -> Iterator[Stage]:
    """All runs, and each channel has delivered."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="herald-alerts-")))
        server = stack.enter_context(PostgresServer(DURABLE))
        migrate(server.url())
        for name in ("kafka", "wanted", "bin"):
            (folder / name).mkdir()
        for name, script in SCRIPTS.items():
            (folder / "bin" / name).write_text(script.format(folder=folder), encoding="utf-8")
            (folder / "bin" / name).chmod(0o755)
        kafka = stack.enter_context(ApacheKafka(folder / "kafka"))
        mail, provider = stack.enter_context(SmtpServer()), stack.enter_context(Provider())
        fleet = Fleet(folder, server.url(), kafka.bootstrap_servers, settings={**SETTINGS, **mail_to(mail)})
        ports = _watched(fleet, server)
        stack.enter_context(fleet.running())
        second = kafka.another(folder / "second")
        stack.callback(second.kill)
        _use(second, kafka)
        prometheus = stack.enter_context(Prometheus(folder, ports))
        stage = Stage(folder, server, kafka, second, mail, provider, fleet, prometheus, stack)
        stack.enter_context(_supervised(stage))
        for channel, address in stage.channels:
            stage.deliver(channel, address)
        yield stage


def _watched(fleet: Fleet, server: PostgresServer) -> dict[str, list[int]]:
    """Give each process a login and a port; returns the ports by process."""
    ports: dict[str, list[int]] = {}
    for role in ROLES:
        server.execute(f"CREATE ROLE {role} LOGIN IN ROLE herald_{role}")
        for member in fleet.of(role).values():
            ports.setdefault(role, []).append(free_port())
            url = server.url().replace("postgres@", f"{role}@", 1)
            member.tell(DATABASE_URL=url, HERALD_METRICS_PORT=str(ports[role][-1]))
    return ports


def _use(second: ApacheKafka, first: ApacheKafka) -> None:
    """A partition of the topic is on the second broker alone."""
    second.start()
    topic, partitions = ON_SECOND
    admin = AdminClient({"bootstrap.servers": first.bootstrap_servers, "log_level": 0})
    known = len(admin.list_topics(timeout=10).topics[topic].partitions)
    wanted = NewPartitions(topic, partitions, replica_assignment=[[2]] * (partitions - known))  # type: ignore[list-item]  # the stub says str
    for made in admin.create_partitions([wanted]).values():
        made.result(10)


def _supervised(stage: Stage) -> Meanwhile:
    def supervise(stop: Event) -> None:
        while not stop.wait(TURN):
            with suppress(OSError, PostgresError):
                stage.look()

    return Meanwhile(supervise)
