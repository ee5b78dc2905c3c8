"""One broker of three is killed where topics have one copy.

`.venv/bin/python -m tests.proof.faults leaderless` does it for ten minutes and compares delays.
"""

import pytest

from tests.proof.end_to_end.system import show
from tests.proof.faults.leaderless import Plan, leaderless_scene, lose_broker

pytestmark = [pytest.mark.kafka, pytest.mark.proof]

SHORT = Plan(seconds=12.0, rate=10.0, before=5.0, warm=1.0, settling=6.0)
# long enough that what lacks a replica in sync is withheld
LONGER = Plan(seconds=25.0, rate=10.0, before=5.0, warm=1.0, settling=16.0)
OVER = 90.0  # seconds


def test_a_broker_that_dies_with_the_only_copies_holds_up_its_own_keys_only_and_loses_nothing() -> None:
    with leaderless_scene({}) as (scene, cluster), scene.fleet.running():
        found = lose_broker(scene, cluster, SHORT, deadline=OVER)

    show(f"{found.withheld} withheld, {found.ratios}, {found.verdict.figures}")
    found.assert_kept()


def test_partitions_that_lack_a_replica_in_sync_hold_up_their_own_keys_only() -> None:
    """They have a leader, which acknowledges nothing."""
    copies = {"min.insync.replicas": "2"}
    with leaderless_scene(copies, HERALD_REPLICATION_FACTOR="2") as (scene, cluster), scene.fleet.running():
        found = lose_broker(scene, cluster, LONGER, deadline=OVER)
        (relay,) = scene.fleet.of("relay").values()

        show(f"{found.withheld} withheld, {found.ratios}, {found.verdict.figures}")
        assert "acknowledges nothing" in relay.output()
        found.assert_kept()
