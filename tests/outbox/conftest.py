"""The database of a test."""

from collections.abc import Iterator

import pytest

from herald.outbox.postgres.driver import Connection
from tests.outbox.connections import connected


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    with connected(database) as connection:
        yield connection
