"""How the processes start, stop and crash."""

import subprocess
import sys
from pathlib import Path

import pytest

from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch
from tests.conftest import KAFKA, StartHerald, on_both_brokers
from tests.proof.end_to_end.conftest import LEASE, QUICK
from tests.proof.end_to_end.system import ROLES, STARTED, Herald, await_all_sent
from tests.servers.apache_kafka import ApacheKafka
from tests.servers.child import Child
from tests.servers.eventually import eventually
from tests.servers.herald import herald_environment
from tests.servers.postgres import PostgresServer
from tests.servers.tansu import Tansu

AGAIN = [
    ("message.requested", "accepted"),
    ("message.started", None),
    ("message.unknown", None),
    ("message.requested", "retry"),
    ("message.started", None),
    ("message.sent", None),
]


@on_both_brokers
def test_a_pipeline_killed_in_mid_delivery_is_followed_by_another_attempt_after_the_lease(
    herald: Herald, gated_pipeline: Child, in_mid_call: str, connection: Connection
) -> None:
    gated_pipeline.kill()
    herald.start("pipeline")

    await_all_sent(herald, connection, [in_mid_call])
    assert herald.look(in_mid_call)["attempts"] == 2
    events = "SELECT type, payload ->> 'cause' FROM outbox ORDER BY version"
    assert fetch(connection, events) == AGAIN
    assert seconds_between_requests(connection) >= float(LEASE["HERALD_LEASE"])
    herald.assert_projection_equals_log()


def seconds_between_requests(connection: Connection) -> float:
    """From the first attempt to the request that repeats it."""
    query = (
        "SELECT extract(epoch FROM max(recorded_at) FILTER (WHERE type = 'message.requested')"
        " - min(recorded_at) FILTER (WHERE type = 'message.started'))::float FROM outbox"
    )
    ((found,),) = fetch(connection, query)
    return float(found)


@on_both_brokers
def test_every_process_stops_when_asked_while_it_works(herald: Herald, connection: Connection) -> None:
    herald.start_and_deliver()
    posted = [herald.post_notification() for _ in range(20)]

    assert {role: herald.stop(role) for role in ROLES} == dict.fromkeys(ROLES, 0)

    herald.start()
    herald.await_api()
    await_all_sent(herald, connection, posted)


@pytest.mark.parametrize("role", ROLES)
def test_every_wrong_setting_is_named_at_the_start(role: str, tmp_path: Path) -> None:
    wrong = {
        "DATABASE_URL": "mysql://nowhere/herald",
        "HERALD_PORT": "http",
        "HERALD_WINDOW_SIZE": "0",
        "KAFKA_SECURITY_PROTOCOL": "carrier_pigeon",
    }
    command = [sys.executable, "-m", "herald.outbox.cli", role]

    done = subprocess.run(
        command, env=herald_environment(wrong), cwd=tmp_path, capture_output=True, text=True, check=False, timeout=30
    )

    assert done.returncode == 2
    assert [name for name in wrong if name not in done.stderr] == []


@pytest.fixture(params=["tansu", KAFKA])
def absent_broker(request: pytest.FixtureRequest) -> Tansu | ApacheKafka:
    """A broker that is not running yet."""
    broker: Tansu | ApacheKafka = request.getfixturevalue("own_broker" if request.param == "tansu" else "own_kafka")
    broker.stop()
    return broker


def test_herald_waits_for_its_servers_says_so_and_then_works(
    migrated_server: PostgresServer, absent_broker: Tansu | ApacheKafka, start_herald: StartHerald
) -> None:
    migrated_server.stop()
    servers = {"DATABASE_URL": migrated_server.url(), "KAFKA_BOOTSTRAP_SERVERS": absent_broker.bootstrap_servers}
    herald = Herald(start_herald, {**QUICK, **servers})

    herald.start()
    for role in ("relay", "pipeline"):
        herald.processes[role].wait_for('"what": "the database"', STARTED)
    herald.processes["api"].wait_for("Uvicorn running", STARTED)
    assert herald.client.get("/health/ready").status_code == 503
    refused = herald.client.post("/notifications", json={"user_id": 1, "event": "e", "content": "c"})
    assert refused.status_code == 503
    assert refused.headers["retry-after"]
    migrated_server.start()
    for role in ("relay", "pipeline"):
        herald.processes[role].wait_for(f'"what": "Kafka at {absent_broker.bootstrap_servers}"', STARTED)
    absent_broker.start()

    herald.await_api()
    posted = herald.post_notification()
    eventually(lambda: herald.look(posted)["status"] == "sent", STARTED)
