"""A Herald that has delivered and was stopped: each test plants one corruption in a copy of it, and audits."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from click.testing import CliRunner, Result

from herald.outbox.kafka.clients import ANSWER_TIMEOUT, make_admin
from herald.outbox.kafka.offsets import partitions_of, read_committed
from herald.outbox.kafka.topics import names
from herald.outbox.operate.audit import looking
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch
from herald.pipeline.audit.command import command
from tests.outbox.connections import connected, make_settings
from tests.proof.end_to_end.system import SETTLED, STARTED, Herald
from tests.proof.end_to_end.topic import put
from tests.servers.eventually import eventually
from tests.servers.herald import HeraldProcess
from tests.servers.postgres import PostgresServer
from tests.servers.tansu import Tansu

FOREIGN = {"user_id": "ada", "event": "greeting", "content": "from elsewhere"}
QUICK = {
    "HERALD_FETCH_WAIT": "0.01",
    "HERALD_WINDOW_SECONDS": "0.5",
    "HERALD_SESSION_TIMEOUT": "3",
    "HERALD_GROUP": "herald",
}


@dataclass(frozen=True)
class Delivered:
    """What was stopped: the database to copy, the settings, and the messages that were sent."""

    database: str
    settings: dict[str, str]
    sent: list[str]


@dataclass(frozen=True)
class Report:
    """One audit, read from its JSON."""

    exit_code: int
    findings: list[dict[str, Any]]
    output: dict[str, Any]

    @property
    def wrong(self) -> list[dict[str, Any]]:
        """Without the notes."""
        return [finding for finding in self.findings if finding["severity"] != "note"]

    @property
    def looked_at(self) -> dict[str, str]:
        """What each check looked at."""
        return {check["check"]: check["looked_at"] for check in self.output["checks"]}

    @property
    def found(self) -> list[tuple[str, str, list[str]]]:
        """What is wrong: check, severity, ids."""
        return [(finding["check"], finding["severity"], finding["ids"]) for finding in self.wrong]


Run = Callable[..., Report]
Ask = Callable[..., Result]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Ask:
    """Run the command with these settings, far from any `.env`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(looking, "SECOND_LOOK", 0.5)  # nothing runs that could do what is late
    monkeypatch.setattr(looking, "TOPICS_LOOK", 0.5)

    def run(settings: dict[str, str], *arguments: str) -> Result:
        return CliRunner().invoke(command, arguments, env={**settings, "COLUMNS": "200"})

    return run


@pytest.fixture
def audit(ask: Ask) -> Run:
    """The same, its JSON read. Raises AssertionError when it did not get that far."""

    def run(settings: dict[str, str], *arguments: str) -> Report:
        result = ask(settings, "--json", *arguments)
        assert result.exit_code in {0, 1}, result.output
        output = json.loads(result.stdout)
        return Report(result.exit_code, output["findings"], output)

    return run


@pytest.fixture(scope="module")
def delivered(
    server: PostgresServer, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Delivered]:
    """Sent, adopted, scheduled for later and dead-lettered; every process was stopped, the broker goes on."""
    folder, name = tmp_path_factory.mktemp("delivered"), f"delivered_{uuid4().hex}"
    server.execute(f"CREATE DATABASE {name} TEMPLATE {migrated_template}")
    server.execute("SELECT instance_takes_place(true)", name)
    with Tansu(folder) as broker:
        servers = {"DATABASE_URL": server.url(name), "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers}
        herald = Herald(_starter(folder), {**QUICK, **servers})
        try:
            yield Delivered(name, herald.settings, deliver(herald))
        finally:
            for process in herald.processes.values():
                process.kill()
            herald.client.close()
    server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def system(delivered: Delivered, server: PostgresServer) -> Iterator[dict[str, str]]:
    """Its settings, with a copy of the database to spoil."""
    name = f"test_{uuid4().hex}"
    server.execute(f"CREATE DATABASE {name} TEMPLATE {delivered.database}")
    server.execute("SELECT instance_takes_place(false)", name)  # audited in the place of the other
    yield {**delivered.settings, "DATABASE_URL": server.url(name)}
    server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def connection(system: dict[str, str]) -> Iterator[Connection]:
    """A superuser's: the trigger that keeps the log from changes does not hold here."""
    with connected(system["DATABASE_URL"]) as connection:
        connection.autocommit = True
        fetch(connection, "SELECT set_config('session_replication_role', 'replica', false)")
        yield connection


def deliver(herald: Herald) -> list[str]:
    """Let it deliver; returns the ids that were sent once all is recorded, committed and stopped."""
    herald.start()
    herald.await_api()
    sent = [herald.post_notification(f"user-{number}") for number in range(5)]
    herald.post_notification("later", deliver_at=(datetime.now(UTC) + timedelta(days=1)).isoformat())
    put(herald.settings["KAFKA_BOOTSTRAP_SERVERS"], "notifications", json.dumps(FOREIGN).encode())
    put(herald.settings["KAFKA_BOOTSTRAP_SERVERS"], "notifications", b"no JSON")
    eventually(lambda: _all_are_there(herald, sent), STARTED, what="everything is delivered")
    eventually(lambda: committed_records(herald.settings) == len(sent) + 2, SETTLED, what="all is committed")
    for role in ("api", "pipeline", "relay"):
        herald.stop(role)
    return sent


def committed_records(settings: dict[str, str]) -> int:
    """How far the group has come, all partitions together."""
    made = make_settings(settings["DATABASE_URL"], **settings)
    committed = read_committed(made, partitions_of(make_admin(made).list_topics(timeout=ANSWER_TIMEOUT), names()))
    return sum(offset for numbers in committed.values() for offset in numbers.values())


def _all_are_there(herald: Herald, sent: Sequence[str]) -> bool:
    with connected(herald.settings["DATABASE_URL"]) as connection:
        statuses: dict[str, int] = dict(fetch(connection, "SELECT status, count(*) FROM messages GROUP BY status"))
    assert statuses == {"sent": len(sent) + 1, "scheduled": 1}
    return True


def _starter(folder: Path) -> Callable[..., HeraldProcess]:
    def start(role: str, *arguments: str, **settings: str) -> HeraldProcess:
        process = HeraldProcess(role, *arguments, folder=folder, settings=settings)
        process.start()
        return process

    return start
