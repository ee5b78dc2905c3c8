"""One runbook and one alert on a live system; all of them by `python -m tests.proof.alerts`."""

import shutil

import pytest

from tests.conftest import require
from tests.proof.alerts.firing import show
from tests.proof.alerts.runbooks import follow
from tests.proof.alerts.stage import staged
from tests.servers import apache_kafka, prometheus

NEEDED = ("jq", "psql")  # by the runbooks


@pytest.mark.proof
@pytest.mark.kafka
@pytest.mark.prometheus
def test_an_alert_fires_and_ends_and_its_runbook_mends_what_it_is_for() -> None:
    absent = [name for name in NEEDED if not shutil.which(name)]
    require("alerts", [*apache_kafka.missing_programs(), *prometheus.missing_programs(), *absent])
    with staged() as stage, stage.load():
        found = show(stage, ["HeraldSetAside"])
        followed = follow(stage, "HeraldDutyFails")

    assert found.wrong == []
    assert followed.wrong == []
