"""`kill -9` at random moments and at every crash point, under load: the oracle finds nothing wrong.

`.venv/bin/python -m tests.proof.faults kills` kills oftener and writes a report.
"""

import os

import pytest

from herald.outbox.crash_points import POINTS
from tests.conftest import on_apache_kafka
from tests.proof.end_to_end.system import show
from tests.proof.faults.kills import kill_at_random
from tests.proof.faults.oracle import Verdict
from tests.proof.faults.points import Freezer, Visits, with_order_of
from tests.proof.faults.scene import SETTLED, Scene

KILLS = 8
RATE = 40.0  # requests per second


def test_whatever_is_killed_nothing_is_lost_overtaken_or_repeated_without_a_word(scene: Scene) -> None:
    seed = int(os.environ.get("SEED", "20261128"))
    show(f"SEED={seed}")

    done, ledger, verdict = kill_at_random(scene, kills=KILLS, seed=seed, rate=RATE, deadline=SETTLED)

    show(f"{done} {verdict.figures}")
    assert done.total >= KILLS
    assert ledger.accepted > 0
    verdict.assert_clean()


@on_apache_kafka
@pytest.mark.proof
def test_a_process_may_be_killed_at_every_crash_point(scene: Scene) -> None:
    with scene.load(RATE) as load:
        killed = Visits(scene.fleet).kill_at_each()

    verdict = scene.judge(load.ledger)
    show(str(verdict.figures))
    assert set(killed) == set(POINTS)
    verdict.assert_clean()


@pytest.mark.parametrize("point", ["relay.published", "pipeline.claimed"])
@on_apache_kafka
@pytest.mark.proof
def test_a_process_frozen_at_a_crash_point_wakes_after_its_successor_and_does_no_harm(scene: Scene, point: str) -> None:
    with scene.load(RATE) as load:
        stalled = Freezer(scene.fleet, load, scene.provider).freeze_at(point)

    verdict = scene.judge(load.ledger)
    show(f"nothing new arrived for {stalled:.1f} s; {verdict.figures}")
    if point.startswith("pipeline."):
        verdict = with_order_of(Verdict(), verdict)
    verdict.assert_clean()
