"""Ten days without a process of Herald's; a thousand orders by `python -m tests.proof.callers away`."""

from pathlib import Path

import pytest

from herald.pipeline.testing.clock import VirtualClock
from tests.proof.callers.away import go_away
from tests.proof.callers.stage import staged
from tests.proof.faults.conftest import EMBEDDED
from tests.servers.postgres import PostgresServer

RETENTIONS = [{}, {"HERALD_RETENTION": f"{12 * 86_400}"}]  # partitions of a month, and of a day


@pytest.mark.parametrize("retention", RETENTIONS, ids=["kept for ever", "kept for twelve days"])
def test_what_is_sent_while_nothing_runs_for_ten_days_commits_and_is_sent_after_the_start(
    migrated_server: PostgresServer, broker: str, tmp_path: Path, retention: dict[str, str]
) -> None:
    clock = VirtualClock(migrated_server.url())
    clock.install()
    with staged(tmp_path, migrated_server, broker, EMBEDDED | retention, keeps_records=False) as stage:
        away = go_away(stage, clock, days=10, orders=100)

    assert away.wrong == []
    assert away.days == pytest.approx(10, abs=0.1)
