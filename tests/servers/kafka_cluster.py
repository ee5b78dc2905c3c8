"""Three Apache Kafka brokers in one cluster; each is a controller as well, so that one may die."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from confluent_kafka.admin import AdminClient

from tests.servers.apache_kafka import QUICK_START, ApacheKafka
from tests.servers.eventually import eventually
from tests.servers.ports import free_port

NODES = (1, 2, 3)
HEAP = "-Xmx384m"
STARTED = 90.0  # seconds
INTERNAL = {  # Kafka's own topics outlive a broker; ours have one copy
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    "share.coordinator.state.topic.replication.factor": "3",
    "share.coordinator.state.topic.min.isr": "2",
    "default.replication.factor": "1",
}


class KafkaCluster:
    """Each broker by its number, on its own folder and port, dies and starts again on the same data."""

    def __init__(
        self, folder: Path, *, java_options: Sequence[str] = QUICK_START, properties: Mapping[str, str] | None = None
    ) -> None:
        controllers = {node: free_port() for node in NODES}

        def make(node: int) -> ApacheKafka:
            own = folder / f"kafka-{node}"
            own.mkdir()
            options = [*java_options, HEAP]
            said = {**INTERNAL, **(properties or {})}
            return ApacheKafka(own, java_options=options, node=node, controllers=controllers, properties=said)

        with ThreadPoolExecutor(len(NODES)) as pool:  # formatting a disk is a JVM each
            self.brokers = dict(zip(NODES, pool.map(make, NODES), strict=True))

    @property
    def bootstrap_servers(self) -> str:
        return ",".join(broker.bootstrap_servers for broker in self.brokers.values())

    def __enter__(self) -> Self:
        try:
            for broker in self.brokers.values():
                broker.child.start()
            for broker in self.brokers.values():
                broker.wait()
            self._admin = AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 0})
            eventually(lambda: self.alive() == set(NODES), STARTED, what="all brokers are in the cluster")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for broker in self.brokers.values():
            broker.kill()

    def kill(self, node: int) -> None:
        """`kill -9`."""
        self.brokers[node].kill()

    def start(self, node: int) -> None:
        """On the same disk; returns once it leads again what it has."""
        self.brokers[node].start()

    def alive(self) -> set[int]:
        """The brokers that the cluster knows as alive."""
        return set(self._admin.list_topics(timeout=10).brokers)

    def leaders(self) -> dict[tuple[str, int], int]:
        """Who leads each partition of every topic; -1 for nobody."""
        topics = self._admin.list_topics(timeout=10).topics
        return {
            (name, number): partition.leader
            for name, topic in topics.items()
            for number, partition in topic.partitions.items()
        }

    def without(self, node: int) -> set[tuple[str, int]]:
        """The partitions of which that broker has no copy."""
        topics = self._admin.list_topics(timeout=10).topics
        return {
            (name, number)
            for name, topic in topics.items()
            for number, partition in topic.partitions.items()
            if node not in partition.replicas
        }

    def coordinator(self) -> int:
        """The broker that keeps the commits of every group: their topic has one partition here."""
        return self.leaders()["__consumer_offsets", 0]
