"""Callers, and what they left in the log."""

from collections.abc import Iterator
from uuid import uuid4

import pytest

from herald.outbox.postgres.driver import Connection
from tests.outbox.acceptance.sql.callers import Caller, made_caller
from tests.outbox.connections import compared
from tests.servers.postgres import PostgresServer


@pytest.fixture
def caller(server: PostgresServer, database: str) -> Iterator[Caller]:
    with made_caller(server, database, f"shop_{uuid4().hex[:8]}") as made:
        yield made


@pytest.fixture
def another(server: PostgresServer, database: str) -> Iterator[Caller]:
    with made_caller(server, database, f"crm_{uuid4().hex[:8]}") as made:
        yield made


@pytest.fixture
def herald(database: str) -> Iterator[Connection]:
    """Herald's own connection; at the end every message is compared with its events."""
    with compared(database) as connection:
        connection.autocommit = True
        yield connection
        connection.autocommit = False


@pytest.fixture
def connection(caller: Caller) -> Iterator[Connection]:
    with caller.connected() as connection:
        yield connection
