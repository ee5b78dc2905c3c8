"""Whatever moves do is compared with the log."""

from collections.abc import Iterator

import pytest

from herald.outbox.postgres.driver import Connection
from tests.outbox.connections import compared


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    with compared(database) as connection:
        yield connection
