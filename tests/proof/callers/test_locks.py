"""What takes a table's lock keeps no caller waiting; for longer by `python -m tests.proof.callers locks`."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.proof.callers.lock_waits import LOGGED
from tests.proof.callers.locks import call_beside_operations
from tests.proof.end_to_end.system import show
from tests.servers.postgres import FAST, PostgresServer

BUSY = 2.0  # seconds; callers would wait three behind whoever waits for the slow one


@pytest.fixture
def logging_server(migrated_cluster: Path) -> Iterator[PostgresServer]:
    """It logs who waits for a lock."""
    with PostgresServer({**FAST, **LOGGED}, like=migrated_cluster) as server:
        yield server


def test_a_closing_a_cut_a_rebuild_and_a_migration_keep_no_caller_waiting(
    logging_server: PostgresServer, tmp_path: Path
) -> None:
    found = call_beside_operations(logging_server, tmp_path, rate=100.0, seconds=20.0, messages=200, partitions=8)

    show(f"{found.done} {found.beside.per_second:.0f} p99 {found.beside.percentile(0.99):.0f}")
    found.assert_clean(BUSY)
