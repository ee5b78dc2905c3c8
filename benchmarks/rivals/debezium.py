"""Debezium Server with its outbox event router: it reads the WAL by a replication slot and produces to Kafka."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from benchmarks.environments import EnvironmentMissingError, prepare
from benchmarks.logs import DROP_SLOTS
from benchmarks.stage import Stage
from benchmarks.waiting import started
from tests.servers.child import Child
from tests.servers.ports import free_port
from tests.servers.postgres import PostgresServer

VERSION = "3.6.1.Final"
ARTIFACT = f"io.debezium:debezium-server-dist:{VERSION}:tar.gz"
MAVEN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"
PARTS = ("*/debezium-server-dist-*-runner.jar", "*/lib/*")  # of the archive: without the connectors of other databases
OLDEST_JAVA = 21
TABLE = """
CREATE TABLE outbox_event (id uuid PRIMARY KEY, aggregatetype text NOT NULL, aggregateid text NOT NULL,
    type text NOT NULL, payload text NOT NULL);
CREATE PUBLICATION bench FOR TABLE outbox_event WITH (publish = 'insert');
SELECT pg_create_logical_replication_slot('bench', 'pgoutput')
"""
FILL = """
INSERT INTO outbox_event SELECT gen_random_uuid(), %(topic)s, n::text, 'message.requested',
    (SELECT string_agg(md5(part || ' ' || n), '') FROM generate_series(1, 30) AS part)
FROM generate_series(1, %(count)s) AS n
"""
_PRODUCER = "debezium.sink.kafka.producer"
THROUGHPUT = {
    f"{_PRODUCER}.compression.type": "lz4",
    f"{_PRODUCER}.linger.ms": "5",
    f"{_PRODUCER}.batch.size": "262144",
    "debezium.source.max.batch.size": "10000",
    "debezium.source.max.queue.size": "40000",
    "debezium.source.poll.interval.ms": "10",
}
LATENCY = {f"{_PRODUCER}.linger.ms": "0", "debezium.source.poll.interval.ms": "1"}


def fetched(cache: Path) -> Path:
    """The folder of the server, from Maven Central once. Raises EnvironmentMissingError."""
    folder = cache / f"debezium-server-{VERSION}"
    if not folder.exists():
        if not shutil.which("mvn"):
            raise EnvironmentMissingError("no Maven here to fetch it with")
        scratch = cache / f"debezium-{uuid4().hex}"
        prepare("mvn", "-q", "-B", f"{MAVEN}:get", "-Dtransitive=false", f"-Dartifact={ARTIFACT}")
        scratch.mkdir(parents=True)
        place = Path.home() / ".m2" / "repository" / "io" / "debezium" / "debezium-server-dist" / VERSION
        archive = place / f"debezium-server-dist-{VERSION}.tar.gz"
        prepare("tar", "-xzf", str(archive), "-C", str(scratch), "--strip-components=1", "--wildcards", *PARTS)
        scratch.rename(folder)
    return folder


def java() -> Path:
    """One that is new enough. Raises EnvironmentMissingError."""
    named = [Path(found) for found in [shutil.which("java")] if found]
    for program in [*named, *sorted(Path("/usr/lib/jvm").glob("*/bin/java"), reverse=True)]:
        said = subprocess.run([program, "-version"], capture_output=True, text=True, check=False).stderr
        if (version := re.search(r'version "(\d+)', said)) and int(version[1]) >= OLDEST_JAVA:
            return program
    message = f"no Java {OLDEST_JAVA} or later here"
    raise EnvironmentMissingError(message)


@contextmanager
def logical(server: PostgresServer) -> Iterator[None]:
    """The server writes what a replication slot needs; it is restarted before and after."""
    server.set("wal_level", "logical")
    server.stop()
    server.start()
    try:
        yield
    finally:
        server.execute("ALTER SYSTEM RESET wal_level")
        server.stop()
        server.start()


@contextmanager
def outbox_table(stage: Stage) -> Iterator[str]:
    """A database with the table, its publication and the slot."""
    database = f"bench_{uuid4().hex}"
    stage.server.execute(f"CREATE DATABASE {database}")
    for statement in TABLE.split(";"):
        stage.fetch(database, statement)
    try:
        yield database
    finally:  # a server with a slot does not start without `wal_level = logical`
        stage.fetch(database, DROP_SLOTS)
        stage.drop(database)


@contextmanager
def debezium(stage: Stage, database: str, home: Path, tuned: Mapping[str, str]) -> Iterator[Child]:
    """The server, started; where it has read to is in a folder of its own."""
    place = stage.folder / f"debezium-{uuid4().hex}"
    (place / "config").mkdir(parents=True)
    settings = {**_settings(stage, database, place), **tuned}
    lines = [f"{name}={value}" for name, value in settings.items()]
    (place / "config" / "application.properties").write_text("\n".join(lines) + "\n", encoding="utf-8")
    [runner] = home.glob("*-runner.jar")
    command = [str(java()), "-Xmx1g", "-cp", f"{runner}:config:{home}/lib/*", "io.debezium.server.Main"]
    with started(Child(command, log=place / "log", env={**os.environ}, cwd=place), Child.stop) as process:
        yield process


def _settings(stage: Stage, database: str, place: Path) -> dict[str, str]:
    source, text = "debezium.source", "org.apache.kafka.common.serialization.StringSerializer"
    return {
        "debezium.sink.type": "kafka",
        f"{_PRODUCER}.bootstrap.servers": stage.bootstrap_servers,
        f"{_PRODUCER}.key.serializer": text,
        f"{_PRODUCER}.value.serializer": text,
        f"{source}.connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        f"{source}.offset.storage": "org.apache.kafka.connect.storage.FileOffsetBackingStore",
        f"{source}.offset.storage.file.filename": str(place / "offsets"),
        f"{source}.offset.flush.interval.ms": "1000",
        f"{source}.database.hostname": "127.0.0.1",
        f"{source}.database.port": str(stage.port),
        f"{source}.database.user": "postgres",
        f"{source}.database.password": "none",
        f"{source}.database.dbname": database,
        f"{source}.topic.prefix": "bench",
        f"{source}.plugin.name": "pgoutput",
        f"{source}.slot.name": "bench",
        f"{source}.publication.name": "bench",
        f"{source}.publication.autocreate.mode": "disabled",
        f"{source}.snapshot.mode": "no_data",
        f"{source}.table.include.list": "public.outbox_event",
        "debezium.transforms": "outbox",
        "debezium.transforms.outbox.type": "io.debezium.transforms.outbox.EventRouter",
        "debezium.transforms.outbox.route.topic.replacement": "$1",
        "debezium.format.key": "simplestring",
        "debezium.format.value": "simplestring",
        "quarkus.http.port": str(free_port()),
        "quarkus.log.level": "WARN",
    }
