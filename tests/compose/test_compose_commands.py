"""Every command of compose.yaml, run outside a container on servers of the same kind."""

import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from herald.outbox.postgres.statements import fetch_value
from herald.outbox.settings import load_settings
from tests.compose.compose_file import environment, ours, services
from tests.conftest import require_java
from tests.servers.apache_kafka import ApacheKafka
from tests.servers.herald import herald_environment
from tests.servers.ports import free_port
from tests.servers.postgres import PostgresServer, connect_to_tables
from tests.servers.tansu import Tansu

TIMEOUT = 60.0  # seconds a command may take


def run(*command: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """In the image `herald` and `python` are the environment's; so they are here."""
    program = str(Path(sys.executable).parent / command[0]) if command[0] in {"herald", "python"} else command[0]
    return subprocess.run(
        [program, *command[1:]],
        env=herald_environment(settings),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


@pytest.mark.parametrize("name", list(ours()))
def test_a_command_of_the_image_exists(name: str) -> None:
    done = run("herald", *ours()[name]["command"], "--help")

    assert done.returncode == 0, done.stderr
    assert f"herald {name}" in done.stdout


@pytest.mark.parametrize("name", list(ours()))
def test_the_settings_of_a_service_are_accepted(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # away from the developer's .env
    for variable, value in environment(ours()[name]).items():
        monkeypatch.setenv(variable, value)

    settings = load_settings()

    assert settings.kafka_bootstrap_servers == "kafka:19092"
    assert settings.database_url.endswith("@postgres:5432/herald")


def test_migrate_fills_an_empty_database(empty_database: str) -> None:
    done = run("herald", *ours()["migrate"]["command"], DATABASE_URL=empty_database)

    assert done.returncode == 0, done.stdout + done.stderr
    with connect_to_tables(empty_database) as connection:
        assert fetch_value(connection, "SELECT to_regclass('outbox') IS NOT NULL")
    connection.close()


def test_status_is_well_when_both_servers_answer(database: str, own_broker: Tansu) -> None:
    check = ours()["relay"]["healthcheck"]["test"][1:]

    assert run(*check, DATABASE_URL=database, KAFKA_BOOTSTRAP_SERVERS=own_broker.bootstrap_servers).returncode == 0
    own_broker.stop()
    assert run(*check, DATABASE_URL=database, KAFKA_BOOTSTRAP_SERVERS=own_broker.bootstrap_servers).returncode != 0


class Readiness(BaseHTTPRequestHandler):
    """Answers each request with the next status of its server."""

    statuses: Iterator[int]

    def do_GET(self) -> None:
        self.send_response(next(self.statuses) if self.path == "/health/ready" else 404)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the standard library's name
        """Say nothing."""


def test_the_api_is_well_when_it_says_that_it_is_ready() -> None:
    Readiness.statuses = iter([200, 503])
    with HTTPServer(("127.0.0.1", 0), Readiness) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        check = [part.replace(":8000/", f":{server.server_port}/") for part in ours()["api"]["healthcheck"]["test"][1:]]

        assert run(*check).returncode == 0
        assert run(*check).returncode != 0
        server.shutdown()


def test_postgresql_is_well_only_when_it_answers() -> None:
    port = str(free_port())
    options = {"listen_addresses": "127.0.0.1", "port": port, "fsync": "off"}
    with PostgresServer(options) as server:
        program, *arguments = services()["postgres"]["healthcheck"]["test"][1:]
        check = [str(server.tool(program)), *(port if part == "5432" else part for part in arguments)]

        assert run(*check).returncode == 0
        server.stop()
        assert run(*check).returncode != 0


@pytest.mark.kafka
def test_kafka_starts_with_the_settings_of_its_service_and_lists_its_topics(tmp_path: Path) -> None:
    """Its check runs a script of the image; on the broker itself that is a listing of the topics."""
    service = services()["kafka"]
    assert service["healthcheck"]["test"][2:] == ["--bootstrap-server", "localhost:19092", "--list"]

    require_java()
    kafka = ApacheKafka(tmp_path)
    kafka.reformat(_properties(environment(service), kafka))
    with kafka:
        assert kafka.topics() == set()


def _properties(environment: dict[str, str], kafka: ApacheKafka) -> dict[str, str]:
    """As the image does it: KAFKA_NODE_ID is node.id; addresses and folder become those of this machine."""
    ports = {":19092": f":{kafka.port}", ":9092": f":{free_port()}", ":9093": f":{free_port()}", "kafka:": "localhost:"}
    text = "\n".join(f"{name}={value}" for name, value in environment.items())
    for inside, here in ports.items():
        text = text.replace(inside, here)
    pairs = dict(line.split("=", 1) for line in text.splitlines())
    named = {name.removeprefix("KAFKA_").lower().replace("_", "."): value for name, value in pairs.items()}
    return {**named, "log.dirs": str(kafka.folder / "compose")}
