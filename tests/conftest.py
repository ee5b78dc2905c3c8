"""Servers for every test: started once where they can be shared, fresh where they cannot."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from tests.servers.apache_kafka import ApacheKafka, missing_programs
from tests.servers.herald import HeraldProcess, herald_environment
from tests.servers.postgres import PostgresServer
from tests.servers.tansu import Tansu

ROOT = Path(__file__).parent.parent
TEMPLATE = "herald_template"

FAILED = pytest.StashKey[bool]()
KAFKA = pytest.param("kafka", marks=pytest.mark.kafka)
# where the broker matters
on_both_brokers = pytest.mark.parametrize("each_broker", ["tansu", KAFKA], indirect=True)
on_apache_kafka = pytest.mark.parametrize("each_broker", [KAFKA], indirect=True)
StartHerald = Callable[..., HeraldProcess]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole systems, which mostly wait, stand evenly among what needs the processor: processes get a part of both.

    Each process begins with a part of the list, and whoever is done takes from the others.
    """
    systems = [item.path.is_relative_to(ROOT / "tests" / "proof") for item in items]
    places: dict[bool, dict[Path, int]] = {True: {}, False: {}}
    for item, is_system in zip(items, systems, strict=True):
        places[is_system].setdefault(item.path, len(places[is_system]))
    order = {path: place / len(files) for files in places.values() for path, place in files.items()}
    items.sort(key=lambda item: order[item.path])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let fixtures know at their end whether the test failed."""
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report


@pytest.fixture(scope="session")
def migrated_cluster() -> Iterator[Path]:
    """The data of a server that does not run; the database `postgres` was migrated by the command of operators.

    A copy takes a tenth of a second; a new cluster with a migration takes four.
    """
    with tempfile.TemporaryDirectory(prefix="herald-cluster-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o711)  # for PostgreSQL's account
        with PostgresServer(kept=folder / "cluster") as server:
            migrate(server.url())
        yield folder / "cluster"


@pytest.fixture(scope="session")
def server(migrated_cluster: Path) -> Iterator[PostgresServer]:
    """PostgreSQL shared by the whole run: never stop it, take `own_server` for that."""
    with PostgresServer(like=migrated_cluster) as server:
        yield server


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    """A PostgreSQL that the test may stop, start, pause and kill."""
    with PostgresServer() as server:
        yield server


@pytest.fixture
def migrated_server(migrated_cluster: Path) -> Iterator[PostgresServer]:
    """A PostgreSQL that the test may stop, start, pause and kill; its database `postgres` is migrated."""
    with PostgresServer(like=migrated_cluster) as server:
        yield server


@pytest.fixture
def empty_database(server: PostgresServer) -> Iterator[str]:
    """The URL of a database without tables."""
    with made_database(server, "template1") as url:
        yield url


@pytest.fixture
def database(server: PostgresServer, migrated_template: str) -> Iterator[str]:
    """The URL of a freshly migrated database; dropped with whoever is still connected."""
    with made_database(server, migrated_template) as url:
        yield url


@pytest.fixture(scope="session")
def migrated_template(server: PostgresServer) -> str:
    """A database nobody connects to, so that it can be copied at any time, in 50 ms."""
    server.execute(f"CREATE DATABASE {TEMPLATE} TEMPLATE postgres")
    server.execute(f"ALTER DATABASE {TEMPLATE} WITH ALLOW_CONNECTIONS false")
    return TEMPLATE


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[str]:
    """The bootstrap servers of an empty embedded broker."""
    with Tansu(tmp_path) as broker:
        yield broker.bootstrap_servers


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[Tansu]:
    """An embedded broker that the test may stop and start; it forgets everything."""
    with Tansu(tmp_path) as broker:
        yield broker


@pytest.fixture(scope="session")
def apache_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApacheKafka]:
    """Apache Kafka shared by the whole run."""
    require_java()
    with ApacheKafka(tmp_path_factory.mktemp("kafka")) as kafka:
        yield kafka


@pytest.fixture
def kafka(apache_kafka: ApacheKafka) -> Iterator[str]:
    """The bootstrap servers of an Apache Kafka without topics or groups."""
    apache_kafka.wipe()
    yield apache_kafka.bootstrap_servers
    apache_kafka.wipe()


@pytest.fixture
def own_kafka(tmp_path: Path) -> Iterator[ApacheKafka]:
    """An Apache Kafka that the test may stop, kill and start on the same data."""
    require_java()
    with ApacheKafka(tmp_path) as kafka:
        yield kafka


@pytest.fixture(params=["tansu", pytest.param("kafka", marks=[pytest.mark.kafka, pytest.mark.proof])])
def each_broker(request: pytest.FixtureRequest) -> str:
    """Bootstrap servers; the test runs on the embedded broker, and again on Apache Kafka in `make proof-all`."""
    return str(request.getfixturevalue("broker" if request.param == "tansu" else "kafka"))


@pytest.fixture
def start_herald(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[StartHerald]:
    """Call it with a role, arguments and settings; when the test fails, the end of each log is shown."""
    started: list[HeraldProcess] = []

    def start(role: str, *arguments: str, **settings: str) -> HeraldProcess:
        process = HeraldProcess(role, *arguments, folder=tmp_path, settings=settings)
        started.append(process)
        process.start()
        return process

    yield start
    for process in started:
        process.kill()
    if request.node.stash[FAILED]:
        show_logs(started)


def show_logs(processes: Iterable[HeraldProcess]) -> None:
    """The end of each."""
    for process in processes:
        print(f"--- end of the log of herald {process.role}\n{process.tail()}")  # noqa: T201 - pytest shows it on failure


def migrate(url: str, **settings: str) -> None:
    """Plain `alembic upgrade head`, the URL from the environment; raises AssertionError with its output."""
    command = [sys.executable, "-m", "alembic", "upgrade", "head"]
    environment = herald_environment({"DATABASE_URL": url, **settings})
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def require_java() -> None:
    """Where it is missing, Apache Kafka is not run."""
    require("Apache Kafka", missing_programs())


def require(what: str, missing: list[str]) -> None:
    """Where CI says that everything must run, what is missing is a failure, not a skip."""
    if missing and os.environ.get("CI"):
        pytest.fail(f"CI must run {what}; not installed: {', '.join(missing)}")
    if missing:
        pytest.skip(f"{what} is not run; not installed: {', '.join(missing)}")


@contextmanager
def made_database(server: PostgresServer, template: str) -> Iterator[str]:
    """Its URL; it is a copy of the template, and dropped at the end."""
    name = f"test_{uuid4().hex}"
    server.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    if template == TEMPLATE:
        server.execute("SELECT instance_takes_place(true)", name)
    yield server.url(name)
    server.execute(f"DROP DATABASE {name} WITH (FORCE)")
