"""The servers and processes that a benchmark runs on."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from uuid import uuid4

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from benchmarks.side import HERE, Side
from benchmarks.waiting import started, until
from herald.outbox.registry import OWNER_TOPIC
from tests.servers.apache_kafka import ApacheKafka, missing_programs
from tests.servers.child import Child
from tests.servers.eventually import eventually
from tests.servers.herald import HeraldProcess, herald_environment
from tests.servers.ports import free_port
from tests.servers.postgres import DURABLE, PostgresServer, connect_to_tables
from tests.servers.tansu import Tansu

PARTITIONS = 4
NO_BROKER = "127.0.0.1:1"  # nobody listens there
ANSWER_TIMEOUT = 10.0  # seconds
MIGRATE_TIMEOUT = 60.0  # seconds
MEASURE_TIMEOUT = 7_200.0  # seconds; a load goes on for as long as a rebuild of ten million messages
# A copy belongs where it is now and keeps its id: the topics that its origin made are its own.
HOME = """
DO $$ BEGIN
    IF to_regproc('instance_takes_place') IS NOT NULL THEN PERFORM instance_takes_place(false); END IF;
END $$
"""


@dataclass
class Stage:
    """PostgreSQL that forgets nothing, a broker, and the checkout whose processes use them."""

    server: PostgresServer
    bootstrap_servers: str
    broker: str  # what it is called in the results
    folder: Path
    side: Side = HERE

    @property
    def port(self) -> int:
        """At which PostgreSQL listens for what knows no sockets in files."""
        return int(self.server.socket.suffix[1:])

    def database(self, template: str = "template1") -> str:
        """A new database, migrated unless it is a copy; returns its name."""
        name = f"bench_{uuid4().hex}"
        self.server.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        if template == "template1":
            self._migrate(name)
        else:
            self.server.execute(HOME, name)
        self.server.execute("CHECKPOINT")  # what was written before is not the next measurement's to pay
        return name

    def drop(self, database: str) -> None:
        self.server.execute(f"DROP DATABASE {database} WITH (FORCE)")

    def fetch(self, database: str, query: str, values: Mapping[str, Any] | None = None) -> list[Any]:
        connection = connect_to_tables(self.server.url(database))
        try:
            with connection.cursor() as cursor:
                cursor.execute(query, values)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.commit()
            connection.close()

    def settings(self, database: str, **more: str) -> dict[str, str]:
        found = {"DATABASE_URL": self.server.url(database), "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap_servers}
        return {**found, "PYTHONPATH": str(self.side.root), "HERALD_PARTITIONS": str(PARTITIONS), **more}

    def herald(self, role: str, settings: dict[str, str], *arguments: str) -> AbstractContextManager[HeraldProcess]:
        program = [str(self.side.herald)]
        return started(HeraldProcess(role, *arguments, folder=self.folder, settings=settings, program=program))

    def module(self, name: str, settings: dict[str, str], *arguments: str) -> AbstractContextManager[Child]:
        """A process of the benchmarks' own, as the side has it."""
        log = self.folder / f"{name}.log"
        command = [str(self.side.python), "-m", name, *arguments]
        return started(Child(command, log=log, env=herald_environment(settings), cwd=self.folder))

    @contextmanager
    def api(self, settings: dict[str, str], processes: int = 1) -> Iterator[int]:
        """The API, ready, and each of its processes listens; gives its port."""
        port, several = free_port(), {"HERALD_API_PROCESSES": str(processes)} if processes > 1 else {}
        with self.herald("api", {**settings, "HERALD_PORT": str(port), **several}) as process:
            if several:
                heard = '"api_process_listens"'
                until(lambda: process.output().count(heard) == processes, process, 60.0, what="all processes listen")
            until(lambda: _is_ready(port), process, 60.0, what="the API is ready")
            yield port

    def measure(self, module: str, settings: dict[str, str], **arguments: object) -> Any:
        """Run a rival or a load generator to its end in a process of its own; returns what it printed as JSON."""
        command = [sys.executable, "-m", module, *(f"--{name}={value}" for name, value in arguments.items())]
        environment = herald_environment({**settings, "PYTHONPATH": str(HERE.root)})
        done = subprocess.run(
            command,
            env=environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=MEASURE_TIMEOUT,
        )
        if done.returncode:
            message = f"{module} failed\n{done.stderr}"
            raise RuntimeError(message)
        return json.loads(done.stdout)

    def make_topics(self, *names: str) -> None:
        """Empty topics, whatever was there before."""
        self.delete_topics(*names, OWNER_TOPIC)
        eventually(lambda: _create(self._admin, names), 30.0, what="the topics are made")
        eventually(lambda: all(self._is_empty(name) for name in names), 30.0, what="the topics can be read")

    def delete_topics(self, *names: str) -> None:
        """Those of them that there are."""
        present = set(self._admin.list_topics(timeout=ANSWER_TIMEOUT).topics).intersection(names)
        for deleted in (self._admin.delete_topics(list(present)) if present else {}).values():
            deleted.result(ANSWER_TIMEOUT)
        eventually(lambda: not set(self._admin.list_topics(timeout=ANSWER_TIMEOUT).topics).intersection(names), 30.0)

    def count_records(self, topic: str) -> int:
        """How many records ever stood on the topic; cheap enough to ask while something is measured."""
        try:
            return self._count(topic)
        except KafkaException:  # whom the client knows as a leader leads no longer
            vars(self).pop("_counter", None)
            return self._count(topic)

    def _count(self, topic: str) -> int:
        places = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        return sum(self._counter.get_watermark_offsets(place, timeout=ANSWER_TIMEOUT)[1] for place in places)

    @cached_property
    def _admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 2})

    @cached_property
    def _counter(self) -> Consumer:
        return Consumer({"bootstrap.servers": self.bootstrap_servers, "group.id": "counting", "log_level": 2})

    def _migrate(self, database: str) -> None:
        with self.herald("migrate", self.settings(database)) as process:
            eventually(lambda: not process.running, MIGRATE_TIMEOUT, what="the database is migrated")
            assert process.exit_code == 0

    def _is_empty(self, topic: str) -> bool:
        vars(self).pop("_counter", None)  # a client goes on asking for the topic that had this name before
        try:
            return self.count_records(topic) == 0
        except KafkaException:  # its partitions have no leader yet
            return False


@contextmanager
def staged(*, kept: Path | None = None, has_broker: bool = True) -> Iterator[Stage]:
    """Apache Kafka where Java and Maven are installed, the embedded broker elsewhere.

    `kept` is the folder of a cluster, as PostgresServer has it.
    """
    options = {**DURABLE, "listen_addresses": "127.0.0.1", "port": str(free_port())}
    with tempfile.TemporaryDirectory(prefix="herald-bench-") as name, PostgresServer(options, kept=kept) as server:
        folder = Path(name)
        if not has_broker:
            yield Stage(server, NO_BROKER, "no broker", folder)
            return
        if missing_programs():
            with Tansu(folder) as tansu:
                yield Stage(server, tansu.bootstrap_servers, "the embedded broker (no Java or Maven here)", folder)
            return
        # the JVM's own defaults: what makes it start quickly makes it slow
        with ApacheKafka(folder, java_options=["-Xmx1g"]) as kafka:
            yield Stage(server, kafka.bootstrap_servers, "Apache Kafka", folder)


def _is_ready(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=2.0)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()


def _create(admin: AdminClient, names: tuple[str, ...]) -> bool:
    """A topic whose name was just deleted may be refused for a moment."""
    try:
        for made in admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in names]).values():
            made.result(ANSWER_TIMEOUT)
    except KafkaException:
        return set(names) <= set(admin.list_topics(timeout=ANSWER_TIMEOUT).topics)
    return True
