"""One Herald whose every connection leads through a proxy, on servers that a fault may do anything to."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from confluent_kafka.admin import AdminClient

from tests.conftest import migrate
from tests.proof.faults.fleet import HURRIED, Fleet, Member
from tests.proof.faults.ledger import Ledger, Load
from tests.proof.faults.provider import Provider
from tests.proof.faults.scene import Scene
from tests.servers.apache_kafka import ApacheKafka
from tests.servers.ports import free_port
from tests.servers.postgres import FAST, PostgresServer
from tests.servers.proxy import Proxy

Migrate = Callable[[str], None]

DATABASE = "faults"
PAIRS = ("api-postgres", "relay-postgres", "pipeline-postgres", "relay-kafka", "pipeline-kafka", "pipeline-provider")
STATEMENT_TIMEOUT = 3.0  # seconds; what waits for longer than that shows within a test
OUT_OF_ORDER = {"out of order on Kafka", "out of order in the log", "out of order at the provider"}
IMPATIENT = {
    **HURRIED,
    "HERALD_STATEMENT_TIMEOUT": str(STATEMENT_TIMEOUT),
    "HERALD_CONNECT_TIMEOUT": "2",
    # a busy machine must not make claims postpone or calls fail: what is postponed or failed may be overtaken
    "HERALD_LEASE": "12",
    "HERALD_DELIVERY_TIMEOUT": "6",
}


@dataclass
class World:
    """Servers and network of a scene. `server` is what the proxies of PostgreSQL lead to: a fail-over replaces it.

    `ledger` is the same for all loads, `allowed` are the kinds of violations that its faults entail by their nature.
    """

    scene: Scene
    server: PostgresServer
    kafka: ApacheKafka
    proxies: dict[str, Proxy]
    folder: Path
    ledger: Ledger = field(default_factory=Ledger)
    allowed: set[str] = field(default_factory=set)
    sent: int = 0  # entries of the ledger, and arrivals, that belong to earlier loads
    arrived: int = 0
    repeated: int = 0  # calls, in earlier loads

    def begin(self) -> int:
        """A new load begins; returns how many requests were sent before."""
        self.sent, self.arrived = len(self.ledger.entries), len(self.scene.provider.arrivals)
        return self.sent

    @property
    def database(self) -> str:
        """Past the proxies."""
        return self.server.url(DATABASE)

    @cached_property
    def admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.kafka.bootstrap_servers, "log_level": 0})

    def load(self, rate: float, *, seed: int) -> Load:
        """To be delivered by way of the provider's proxy."""
        address = f"http://127.0.0.1:{self.proxies['pipeline-provider'].port}/take"
        return Load(self.scene.fleet.ports, address, rate=rate, seed=seed, ledger=self.ledger)

    def make_member(self, name: str, port: int = 0) -> Member:
        """A process whose every connection leads through the proxies, not started; `api-2` is one of role `api`."""
        fleet, role = self.scene.fleet, name.partition("-")[0]
        kafka = self.proxies.get(f"{role}-kafka")
        through = {
            "HERALD_PORT": str(port or free_port()),
            "DATABASE_URL": self.server.url_by(self.proxies[f"{role}-postgres"].port, DATABASE),
            **({"KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{kafka.port}"} if kafka else {}),
        }
        return Member(name, self.folder, {**fleet.settings, **through})

    def of(self, server: str) -> list[Proxy]:
        """Those that lead there."""
        return [proxy for pair, proxy in self.proxies.items() if pair.endswith(server)]

    def fail_over(self, server: PostgresServer) -> None:
        """From now on the processes find this one under the old address."""
        self.server = server
        self.scene.fleet.settings["DATABASE_URL"] = self.database
        for proxy in self.of("postgres"):
            proxy.lead_to(server.socket)


@contextmanager
def made_world(
    *, disk: int | None = None, of_each: int = 1, migrate: Migrate = migrate, **settings: str
) -> Iterator[World]:
    """Everything runs; on a `disk` of so many bytes PostgreSQL may run out of space."""
    with ExitStack() as stack:
        name = tempfile.TemporaryDirectory(prefix="herald-faults-", ignore_cleanup_errors=True)
        folder = Path(stack.enter_context(name))
        small = {"max_wal_size": "32MB", "min_wal_size": "32MB"} if disk else {}
        server = stack.enter_context(PostgresServer({**FAST, **small}, disk=disk))
        server.execute(f"CREATE DATABASE {DATABASE}")
        migrate(server.url(DATABASE))
        provider = stack.enter_context(Provider())
        ports = {pair: free_port() for pair in PAIRS if pair.endswith("kafka")}
        proxies = {
            **{pair: Proxy(server.socket) for pair in PAIRS if pair.endswith("postgres")},
            **{pair: Proxy(port) for pair, port in ports.items()},
            "pipeline-provider": Proxy(provider.port),
        }
        for proxy in proxies.values():
            stack.enter_context(proxy)
        listeners = {pair.partition("-")[0].upper(): (port, proxies[pair].port) for pair, port in ports.items()}
        (folder / "kafka").mkdir()
        kafka = stack.enter_context(ApacheKafka(folder / "kafka", listeners=listeners))
        fleet = Fleet(
            folder,
            server.url(DATABASE),
            kafka.bootstrap_servers,
            of_each=of_each,
            settings={**IMPATIENT, **settings},
        )
        ports_of = dict(zip(fleet.members, 3 * fleet.ports, strict=True))
        world = World(Scene(fleet, provider), server, kafka, proxies, folder)
        fleet.members = {name: world.make_member(name, port) for name, port in ports_of.items()}
        stack.enter_context(fleet.running())
        yield world
