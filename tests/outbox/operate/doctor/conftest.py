"""A server that keeps what it takes, and may be put into bad states."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.servers.postgres import PostgresServer

OPTIONS = {"max_prepared_transactions": "5"}  # fsync is on, as it is by default
TEMPLATE = "herald_template"


@pytest.fixture(scope="session")
def safe_server(migrated_cluster: Path) -> Iterator[PostgresServer]:
    with PostgresServer(OPTIONS, like=migrated_cluster) as server:
        server.execute(f"CREATE DATABASE {TEMPLATE} TEMPLATE postgres")
        yield server


@pytest.fixture
def safe(safe_server: PostgresServer) -> Iterator[str]:
    """The URL of a freshly migrated database; at the end the server has no settings of its own again."""
    name = f"test_{uuid4().hex}"
    safe_server.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    safe_server.execute("SELECT instance_takes_place(true)", name)
    yield safe_server.url(name)
    safe_server.execute("ALTER SYSTEM RESET ALL")
    safe_server.execute("SELECT pg_reload_conf()")
    safe_server.execute(f"DROP DATABASE {name} WITH (FORCE)")
