"""A relay that Kafka leaves without an answer."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from herald.outbox.message.dates import Dates
from herald.outbox.moves.accept import make_acceptance
from herald.outbox.postgres.driver import Connection
from tests.conftest import StartHerald
from tests.outbox.connections import accepted, notification, status_of
from tests.outbox.relay.test_relay import Topic, ids
from tests.servers.eventually import eventually
from tests.servers.ports import free_port
from tests.servers.troubled_broker import TroubledBroker

LEADS = 20.0  # seconds
PATIENT = {"HERALD_KAFKA_PATIENCE": "2"}


@pytest.fixture
def troubled(tmp_path: Path) -> Iterator[TroubledBroker]:
    with TroubledBroker(tmp_path) as troubled:
        yield troubled


def test_after_its_patience_a_leader_lets_another_lead_and_nothing_in_flight_is_lost(
    database: str, connection: Connection, troubled: TroubledBroker, start_herald: StartHerald
) -> None:
    before = accepted(connection, notification())
    settings = {"DATABASE_URL": database, "KAFKA_BOOTSTRAP_SERVERS": troubled.bootstrap_servers, **PATIENT}
    leader = start_herald("relay", **settings)
    leader.wait_for("leading", LEADS)
    standby = start_herald("relay", **settings)
    standby.wait_for("standing_by", LEADS)

    troubled.phase = "hanging"
    during = accepted(connection, notification(), notification())
    leader.wait_for("Kafka acknowledged nothing for 2 s", LEADS)
    standby.wait_for("term_ended", LEADS)  # it led, as far as that is possible
    troubled.phase = "well"

    topic = Topic(troubled.tansu.bootstrap_servers)
    eventually(lambda: set(topic.subjects()) == set(ids(before + during)), LEADS)
    assert leader.stop() == 0
    assert standby.stop() == 0


def test_what_needs_no_kafka_goes_on_without_it(
    database: str, connection: Connection, start_herald: StartHerald
) -> None:
    past = Dates(deliver_by=datetime.now(UTC) + timedelta(seconds=1))
    (late,) = accepted(connection, make_acceptance("notifications", "ada", b"{}", dates=past))

    relay = start_herald("relay", DATABASE_URL=database, KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{free_port()}", **PATIENT)

    eventually(lambda: status_of(connection, late) == "expired", LEADS)
    assert relay.stop() == 0
