"""Every command of compose.yaml, run outside a container on servers of the same kind."""

import subprocess
import sys
from pathlib import Path

import pytest

from herald.outbox.postgres.statements import fetch_value
from herald.outbox.settings import load_settings
from tests.compose.compose_file import environment, ours, services
from tests.conftest import StartHerald, require_java
from tests.servers.apache_kafka import ApacheKafka
from tests.servers.eventually import eventually
from tests.servers.herald import herald_environment
from tests.servers.ports import free_port
from tests.servers.postgres import PostgresServer, connect_to_tables

NOWHERE = "postgresql://postgres@127.0.0.1:1/nowhere"
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


@pytest.mark.parametrize("name", ["api", "relay", "pipeline"])
def test_a_process_is_well_while_it_waits_for_servers_and_not_when_it_is_frozen(
    name: str, start_herald: StartHerald
) -> None:
    port = environment(ours()[name])["HERALD_METRICS_PORT"]
    check = [part.replace(port, own := str(free_port())) for part in ours()[name]["healthcheck"]["test"][1:]]
    process = start_herald(name, DATABASE_URL=NOWHERE, HERALD_METRICS_PORT=own, HERALD_PORT=str(free_port()))

    eventually(lambda: run(*check).returncode == 0, TIMEOUT, what="it is well")
    process.pause()
    assert run(*check).returncode != 0
    process.resume()
    assert run(*check).returncode == 0


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
