"""Apache Kafka in KRaft mode: one node that is broker and controller, on a folder of its own."""

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from herald.outbox.kafka.offsets import read_committed
from herald.pipeline.testing.settings import make_settings
from tests.servers.child import Child
from tests.servers.eventually import eventually
from tests.servers.kafka_jars import kafka_folder
from tests.servers.ports import free_port

START_TIMEOUT = 60.0  # seconds; 1 to 4 on an idle machine, 14 after a kill
CLUSTER_ID = "HeraldHeraldHeraldHera"
QUICK_START = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]  # costs throughput: not for benchmarks
PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
log.dirs={folder}/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
auto.create.topics.enable=false
log.cleaner.dedupe.buffer.size=2097152
# after kill -9 the controller lets the same node in again only when its old session is over
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=200
"""
LOGGING = """\
appender.f.type=File
appender.f.name=F
appender.f.fileName={folder}/broker.log
appender.f.layout.type=PatternLayout
appender.f.layout.pattern=%d{{ISO8601}} %-5p %c{{1}} %m%n
rootLogger.level=INFO
rootLogger.appenderRef.f.ref=F
"""


def missing_programs() -> list[str]:
    """Which of the programs that Apache Kafka needs are not installed."""
    return [name for name in ("java", "mvn") if not shutil.which(name)]


class ApacheKafka:
    """Stops, dies and starts again on the same data and port.

    `listeners`: more ports to listen on, by name; each leads its clients to the port of a proxy. `node` is its number
    among the `controllers` of a cluster (ports by number), in which each broker is a controller as well.
    `properties` are settings of its own.
    """

    def __init__(
        self,
        folder: Path,
        *,
        java_options: list[str] | None = None,
        listeners: Mapping[str, tuple[int, int]] | None = None,
        node: int = 1,
        controllers: Mapping[int, int] | None = None,
        properties: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.port = free_port()
        self._options = QUICK_START if java_options is None else java_options
        self._properties = folder / "server.properties"
        (folder / "log4j2.properties").write_text(LOGGING.format(folder=folder), encoding="utf-8")
        heap = ["-Xms256m", "-Xmx512m", f"-Dlog4j2.configurationFile={folder / 'log4j2.properties'}"]
        command = self.java("kafka.Kafka", str(self._properties), options=heap)
        self.child = Child(command, log=folder / "kafka.out", cwd=folder)
        self._controller = controllers[node] if controllers else free_port()
        text = PROPERTIES.format(port=self.port, controller=self._controller, folder=folder)
        said = dict(line.split("=", 1) for line in text.splitlines() if not line.startswith("#"))
        if controllers:
            del said["controller.quorum.bootstrap.servers"]
            voters = ",".join(f"{number}@127.0.0.1:{port}" for number, port in controllers.items())
            said |= {"node.id": str(node), "controller.quorum.voters": voters}
        said |= properties or {}
        for name, (port, advertised) in (listeners or {}).items():
            said["listeners"] += f",{name}://127.0.0.1:{port}"
            said["advertised.listeners"] += f",{name}://127.0.0.1:{advertised}"
        names = ("PLAINTEXT", "CONTROLLER", *(listeners or {}))
        said["listener.security.protocol.map"] = ",".join(f"{name}:PLAINTEXT" for name in names)
        self.reformat(said)

    @property
    def bootstrap_servers(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def running(self) -> bool:
        return self.child.running

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def start(self) -> None:
        self.child.start()
        self.wait()

    def wait(self) -> None:
        """Return once it answers."""
        self._admin = AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 2})
        self._asking = make_settings(
            {"DATABASE_URL": "postgresql://nowhere/nothing", "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap_servers}
        )
        eventually(self._answers, START_TIMEOUT, what="Apache Kafka answers")

    def stop(self) -> None:
        self.child.stop()

    def kill(self) -> None:
        self.child.kill()

    def topics(self) -> set[str]:
        """What exists, without Kafka's own topics."""
        return {name for name in self._admin.list_topics(timeout=10).topics if not name.startswith("__")}

    def wipe(self) -> None:
        """Delete every topic and every group nobody is in; returns when the topics are gone."""
        groups = [group.group_id for group in self._admin.list_consumer_groups().result().valid]
        for deleted in (self._admin.delete_consumer_groups(groups) if groups else {}).values():
            deleted.exception(10.0)  # not empty yet: its members' sessions end by themselves
        if topics := self.topics():
            for gone in self._admin.delete_topics(list(topics)).values():
                gone.result(10.0)
            eventually(lambda: not self.topics(), what="the topics are gone")

    def java(self, main: str, *arguments: str, options: Sequence[str] = ()) -> list[str]:
        """The command that runs one of Kafka's programs."""
        return ["java", *options, *self._options, "-cp", f"{kafka_folder() / 'libs'}/*", main, *arguments]

    def lose_disk(self) -> None:
        """Forget everything but the cluster's id; it does not run."""
        shutil.rmtree(self.folder / "data")
        self._format()

    def reformat(self, properties: dict[str, str]) -> None:
        """Prepare the empty folder that `log.dirs` names, and use these settings from the next start on."""
        self._properties.write_text(
            "".join(f"{name}={value}\n" for name, value in properties.items()), encoding="utf-8"
        )
        self._format()

    def _format(self) -> None:
        arguments = ["format", f"--cluster-id={CLUSTER_ID}", "-c", str(self._properties)]
        if "controller.quorum.voters" not in self._properties.read_text(encoding="utf-8"):
            arguments.append("--standalone")
        done = subprocess.run(
            self.java("kafka.tools.StorageTool", *arguments), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def another(self, folder: Path) -> "ApacheKafka":
        """A second broker of the same cluster, not started; this one stays its controller."""
        folder.mkdir()
        second = ApacheKafka(folder)
        address = f"PLAINTEXT://127.0.0.1:{second.port}"
        second.reformat(
            {
                "process.roles": "broker",
                "node.id": "2",
                "controller.quorum.voters": f"1@127.0.0.1:{self._controller}",
                "controller.listener.names": "CONTROLLER",
                "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
                "listeners": address,
                "advertised.listeners": address,
                "log.dirs": str(folder / "broker"),
                "log.cleaner.dedupe.buffer.size": "2097152",
                "broker.heartbeat.interval.ms": "200",
            }
        )
        return second

    def configure(self, **properties: str) -> None:
        """Change settings, named with _ for each dot; they hold from the next start on."""
        with self._properties.open("a", encoding="utf-8") as file:  # the later one of two lines counts
            file.writelines(f"{name.replace('_', '.')}={value}\n" for name, value in properties.items())

    def _answers(self) -> bool:
        if not self.child.running:
            message = f"Apache Kafka ended at its start\n{self.child.tail()}"
            raise RuntimeError(message)
        try:
            # the first question about a group to a new cluster makes the topic of commits, and its coordinator
            read_committed(self._asking, {"nothing": [0]})
            return bool(self._admin.list_topics(timeout=2).brokers)
        except KafkaException:
            return False
