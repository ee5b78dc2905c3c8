"""A caller's transaction stays open for seconds; for an hour by `python -m tests.proof.callers transaction`."""

from pathlib import Path

from herald.pipeline.testing.clock import VirtualClock
from tests.proof.callers.lock_waits import LOGGED
from tests.proof.callers.open_transaction import stay_open
from tests.proof.callers.operations import RETENTION
from tests.proof.callers.stage import staged
from tests.proof.end_to_end.system import show
from tests.proof.faults.conftest import EMBEDDED
from tests.servers.postgres import FAST, PostgresServer

BUSY = 2.0  # seconds; callers would wait five behind whoever waits for it


def test_a_callers_transaction_that_stays_open_delays_nobody_and_is_named_by_what_waits_for_it(
    migrated_cluster: Path, broker: str, tmp_path: Path
) -> None:
    retention = {"HERALD_RETENTION": f"{RETENTION:g}"}
    with PostgresServer({**FAST, **LOGGED}, like=migrated_cluster) as server:
        clock = VirtualClock(server.url())
        clock.install()
        with staged(tmp_path, server, broker, EMBEDDED | retention, keeps_records=False) as stage:
            found = stay_open(stage, clock, tmp_path, seconds=12.0, rate=10.0)

    show(f"{found.named} {len(found.beside.seconds)} {found.posted}")
    found.assert_clean(BUSY)
