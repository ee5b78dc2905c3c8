"""One broker of three is killed where topics have one copy.

`.venv/bin/python -m tests.faults leaderless` does it for ten minutes and compares delays.
"""

import pytest

from tests.end_to_end.system import show
from tests.faults.leaderless import Plan, leaderless_scene, lose_broker

SHORT = Plan(seconds=12.0, rate=10.0, before=5.0, warm=1.0, settling=6.0)
OVER = 90.0  # seconds


@pytest.mark.kafka
def test_a_broker_that_dies_with_the_only_copies_holds_up_its_own_keys_only_and_loses_nothing() -> None:
    with leaderless_scene({}) as (scene, cluster), scene.fleet.running():
        found = lose_broker(scene, cluster, SHORT, deadline=OVER)

    show(f"{found.withheld} withheld, {found.ratios}, {found.verdict.figures}")
    found.assert_kept()
