"""Servers, a provider and a fleet: what a fault is put into, and the judgement once it is over."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from herald.outbox.postgres.statements import fetch
from tests.conftest import migrate
from tests.outbox.connections import connected
from tests.proof.faults.fleet import Fleet
from tests.proof.faults.ledger import USERS, Ledger, Load
from tests.proof.faults.oracle import Verdict, gather, judge
from tests.proof.faults.provider import Provider
from tests.servers.apache_kafka import ApacheKafka
from tests.servers.eventually import eventually
from tests.servers.postgres import DURABLE, PostgresServer
from tests.servers.proxy import Proxy

SETTLED = 180.0  # seconds; leases and sessions of what was killed have to end, and a backlog to be worked off

# an index has them: it is asked many times a second while rates are measured
_LEFT = "SELECT status, count(*) FROM messages WHERE status <> 'sent' GROUP BY status"
_UNPUBLISHED = """
SELECT count(*) FROM outbox, relay_cursor
WHERE topic IS NOT NULL AND NOT pg_visible_in_snapshot(transaction_id, previous)
"""


@dataclass
class Scene:
    """Everything that runs; what the processes are told comes with the fleet's settings."""

    fleet: Fleet
    provider: Provider
    keeps_records: bool = True  # Kafka loses nothing: it can be compared with the log, and keeps the order
    network: Proxy | None = None  # between the first relay and PostgreSQL
    server: PostgresServer | None = None  # where it is the scene's own

    @property
    def database(self) -> str:
        return self.fleet.settings["DATABASE_URL"]

    @property
    def bootstrap_servers(self) -> str:
        return self.fleet.settings["KAFKA_BOOTSTRAP_SERVERS"]

    def load(self, rate: float, *, seed: int = 0, ledger: Ledger | None = None, users: int = USERS) -> Load:
        return Load(self.fleet.ports, self.provider.address, rate=rate, seed=seed, ledger=ledger, users=users)

    def left(self) -> dict[str, int]:
        """How many messages are not over, by status."""
        return self.counts(_LEFT)

    def counts(self, query: str) -> dict[str, int]:
        """What a query for names and numbers finds."""
        with connected(self.database) as connection:
            return dict(fetch(connection, query))

    def judge(self, ledger: Ledger, deadline: float = SETTLED) -> Verdict:
        """Wait until every message is over and published, then compare everything with everything."""
        eventually(self._is_over, deadline, what="every message is over")
        kafka = self.bootstrap_servers if self.keeps_records else None
        return judge(gather(ledger, self.provider.arrivals, self.database, kafka))

    def _is_over(self) -> bool:
        self.fleet.revive()
        left = self.left()
        assert not left, str(left)
        with connected(self.database) as connection:
            ((unpublished,),) = fetch(connection, _UNPUBLISHED)
        assert not unpublished, f"{unpublished} events are not published"
        return True


@contextmanager
def durable_scene(settings: dict[str, str], *, of_each: int, has_network: bool = False) -> Iterator[Scene]:
    """On Apache Kafka and a PostgreSQL that forgets nothing, both its own; the fleet is not started."""
    with tempfile.TemporaryDirectory(prefix="herald-faults-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "kafka").mkdir()
        with (
            PostgresServer(DURABLE) as server,
            ApacheKafka(folder / "kafka") as kafka,
            Provider() as provider,
            Proxy(server.socket) as network,
        ):
            server.execute("CREATE DATABASE faults")
            migrate(server.url("faults"))
            fleet = Fleet(folder, server.url("faults"), kafka.bootstrap_servers, of_each=of_each, settings=settings)
            if has_network:
                fleet.members["relay-1"].tell(DATABASE_URL=server.url_by(network.port, "faults"))
            yield Scene(fleet, provider, network=network if has_network else None, server=server)
