"""What an outage costs: no pipeline for a while, or topics that are gone.

`.venv/bin/python -m tests.proof.faults outage` leaves the pipelines away for ten minutes.
"""

import pytest

from herald.outbox.registry import DEAD_LETTERS, TOPICS
from tests.conftest import on_apache_kafka
from tests.proof.end_to_end.system import show
from tests.proof.end_to_end.topic import delete_topics
from tests.proof.faults.outage import go_without_pipeline
from tests.proof.faults.scene import SETTLED, Scene
from tests.servers.eventually import eventually

pytestmark = pytest.mark.proof

OUTAGE = 5.0  # seconds
RATE = 40.0  # requests per second


@pytest.fixture
def fleet_settings() -> dict[str, str]:
    """Herald's own timeouts, but what Kafka lost is searched for all the time."""
    return {"HERALD_SWEEP_SECONDS": "1"}


def test_an_outage_of_the_pipeline_requests_next_to_nothing_twice(scene: Scene) -> None:
    outage, verdict = go_without_pipeline(scene, OUTAGE, deadline=SETTLED)

    show(f"{outage} {verdict.figures}")
    assert outage.waiting > 0
    assert outage.ratio <= 1.01
    verdict.assert_clean()


@on_apache_kafka
def test_topics_deleted_under_load_lose_nothing(scene: Scene) -> None:
    scene.keeps_records = False

    with scene.load(RATE) as load:
        eventually(lambda: len(scene.provider.arrivals) > 50, SETTLED, what="all goes on")
        delete_topics(scene.bootstrap_servers, *TOPICS, DEAD_LETTERS)
        enough = load.ledger.accepted + 100
        eventually(lambda: scene.fleet.revive() and load.ledger.accepted > enough, SETTLED, what="more is accepted")

    scene.judge(load.ledger).assert_clean()
