"""A whole Herald at work, on each broker, and a doctor that finds nothing wrong with it."""

import json
from contextlib import closing

from tests.conftest import StartHerald, on_both_brokers
from tests.proof.end_to_end.system import STARTED, Herald
from tests.servers.eventually import eventually


@on_both_brokers
def test_a_system_at_work_has_no_warning(safe: str, each_broker: str, start_herald: StartHerald) -> None:
    herald = Herald(start_herald, {"DATABASE_URL": safe, "KAFKA_BOOTSTRAP_SERVERS": each_broker})
    with closing(herald.client):
        herald.start_and_deliver()

    doctor = start_herald("doctor", "--json", **herald.settings)
    eventually(lambda: not doctor.running, STARTED, what="the doctor has looked")

    found = json.loads(doctor.output())["findings"]
    assert [finding for finding in found if finding["level"] in {"warning", "problem"}] == []
    assert doctor.exit_code == 0
    (leader,) = [finding for finding in found if finding["check"] == "leader"]
    assert leader["text"].startswith("led by 'herald-relay', pid ")
    assert len({finding["check"] for finding in found}) > 30
