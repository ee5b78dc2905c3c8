"""One Herald whose role has exactly its grants, and its owner, who may take anything away from it.

The load has good requests, a few that are to be refused, and good records of another producer.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from herald.outbox.up.postgres import SUPERUSER
from tests.conftest import ROOT, migrate
from tests.proof.faults import breakable
from tests.proof.faults.fleet import HURRIED, Fleet
from tests.proof.faults.ledger import Ledger
from tests.proof.faults.provider import Provider
from tests.proof.faults.scene import Scene
from tests.servers.apache_kafka import ApacheKafka
from tests.servers.postgres import FAST, PostgresServer

DATABASE, ROLE = "faults", "herald"
DISK = 1 << 30  # bytes
# whoever says nothing of a topic allows it to everybody: what is taken away is taken away by a rule
AUTHORIZED = {
    "authorizer_class_name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "allow_everyone_if_no_acl_found": "true",
}
STRICT = {
    **HURRIED,
    "HERALD_DELIVERY_TIMEOUT": "3",
    "HERALD_LEASE": "5",
    # what counts as a message's own failure is its end within seconds
    "HERALD_MAX_ATTEMPTS": "4",
    "HERALD_RETRY_BASE": "0.2",
    "HERALD_RETRY_CAP": "0.5",
    "HERALD_CHANNELS__WEBHOOK__MAX_ATTEMPTS": "4",
    "HERALD_CHANNELS__WEBHOOK__RETRY_CAP": "0.5",
}


@dataclass
class Court:
    """Servers and processes; `ledger` is the same for all loads. `can_fill` is whether the disk is one's own."""

    scene: Scene
    server: PostgresServer
    kafka: ApacheKafka
    folder: Path
    ledger: Ledger = field(default_factory=Ledger)
    can_fill: bool = True

    @cached_property
    def admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.kafka.bootstrap_servers, "log_level": 0})

    @property
    def switch(self) -> Path:
        """While it is there, what it names breaks; see tests/proof/faults/breakable.py."""
        return self.folder / "broken"

    def own(self, *statements: str) -> None:
        """Say it as the owner of the tables."""
        for statement in statements:
            self.server.execute(statement, DATABASE)

    def end_sessions(self) -> None:
        self.server.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{ROLE}'")


@contextmanager
def opened_court(*, disk: int = DISK, **settings: str) -> Iterator[Court]:
    """Everything runs, one process of each role."""
    with ExitStack() as stack:
        name = tempfile.TemporaryDirectory(prefix="herald-court-", ignore_cleanup_errors=True)
        folder = Path(stack.enter_context(name))
        server, can_fill = _made_server(disk)
        stack.enter_context(server)
        server.execute(f"CREATE DATABASE {DATABASE}")
        migrate(server.url(DATABASE))
        provider = stack.enter_context(Provider())
        (folder / "kafka").mkdir()
        kafka = ApacheKafka(folder / "kafka")
        kafka.configure(**AUTHORIZED)
        stack.enter_context(kafka)
        url = server.url(DATABASE).replace(f"{SUPERUSER}@", f"{ROLE}@")
        told = {**STRICT, "PYTHONPATH": str(ROOT), breakable.SWITCH: str(folder / "broken"), **settings}
        fleet = Fleet(folder, url, kafka.bootstrap_servers, of_each=1, settings=told)
        for pipeline in fleet.of("pipeline").values():
            pipeline.command[-3:] = ["-m", breakable.__name__]
        court = Court(Scene(fleet, provider, keeps_records=False), server, kafka, folder, can_fill=can_fill)
        court.own(f"CREATE ROLE {ROLE} LOGIN", *grants())
        stack.enter_context(fleet.running())
        yield court


_GRANT_EACH = f"""
DO $$
DECLARE
    one record;
BEGIN
    FOR one IN SELECT DISTINCT kind, name, privilege FROM wanted_grants
            WHERE kind <> 'SCHEMA' AND role ~ '_(api|relay|pipeline)$' LOOP
        EXECUTE format('GRANT %s ON %s %s TO {ROLE}', one.privilege, one.kind, one.name);
    END LOOP;
END $$
"""


def grants() -> list[str]:
    """Exactly what the doctor asks for."""
    return [f"GRANT USAGE ON SCHEMA herald TO {ROLE}", _GRANT_EACH]


def _made_server(disk: int) -> tuple[PostgresServer, bool]:
    """On a disk of its own where this machine lets one be mounted."""
    quiet = {"log_min_error_statement": "panic"}  # its log is on the same disk, and each refusal would be 20 kB
    options = {**FAST, **quiet, "max_wal_size": "64MB", "min_wal_size": "64MB"}
    if os.geteuid() == 0:
        try:
            return PostgresServer(options, disk=disk), True
        except pytest.skip.Exception:
            pass
    return PostgresServer(options), False
