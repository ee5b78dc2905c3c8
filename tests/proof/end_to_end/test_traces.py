"""One trace over all processes, as a collector gets it over HTTP."""

import json
from collections.abc import Iterator
from itertools import count

import pytest
from confluent_kafka import Producer

from herald.outbox.postgres.statements import fetch_value
from tests.conftest import FAILED, made_database, show_logs
from tests.outbox.connections import connected
from tests.proof.end_to_end.destinations import letter
from tests.proof.end_to_end.system import ROLES, MakeHerald
from tests.proof.end_to_end.traced import AT_ONCE, System, traced_herald
from tests.servers.eventually import eventually
from tests.servers.http_server import HttpServer
from tests.servers.otlp import Collector, Exported
from tests.servers.ports import free_port
from tests.servers.postgres import PostgresServer

SERVER, CLIENT, PRODUCER, CONSUMER = 2, 3, 4, 5  # kinds of spans in OTLP
ALL_HOPS = ["POST /notifications", "COMMIT outbox", "publish notifications", "claim notifications", "deliver webhook"]
SECRETS = ("ada@example.com", "confidential", "token=")
LATER = {"OTEL_BSP_SCHEDULE_DELAY": "600000"}  # milliseconds until spans are exported
_traces = count(1)


@pytest.fixture(scope="module")
def working(
    server: PostgresServer, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("herald")
    with made_database(server, migrated_template) as database, traced_herald(database, folder) as system:
        yield system


@pytest.fixture
def system(working: System, request: pytest.FixtureRequest) -> Iterator[System]:
    """When the test fails, the end of each log is shown."""
    yield working
    if request.node.stash[FAILED]:
        show_logs(working.processes.values())


@pytest.fixture
def caller() -> str:
    """A traceparent, of a trace that no other test has."""
    return f"00-{next(_traces):032x}-b7ad6b7169203331-01"


def post(system: System, address: str, caller: str | None) -> str:
    body = letter("ada@example.com", "webhook", address) | {"content": "confidential"}
    headers = {"traceparent": caller} if caller else {}
    answer = system.client.post("/notifications", json=body, headers=headers)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def test_every_hop_of_a_post_is_in_the_trace_of_its_caller_below_the_one_before(system: System, caller: str) -> None:
    message = post(system, system.receiver.url("/ok/token=1"), caller)

    hops = system.hops(message, len(ALL_HOPS))

    request, commit, publish, claim, deliver = hops
    assert [hop.name for hop in hops] == ALL_HOPS
    assert [hop.service for hop in hops] == ["herald-api"] * 2 + ["herald-relay"] + ["herald-pipeline"] * 2
    assert [hop.kind for hop in hops] == [SERVER, CLIENT, PRODUCER, CONSUMER, CLIENT]
    assert {hop.trace for hop in hops} == {caller.split("-")[1]}
    parents = [caller.split("-")[2], request.id, request.id, publish.id, claim.id]
    assert [hop.parent for hop in hops] == parents
    assert all(hop.began <= hop.ended for hop in hops)
    assert commit.ended <= publish.began <= claim.ended <= deliver.began
    assert not [secret for secret in SECRETS if secret in str(hops)]
    told = next(one for one in system.receiver.received if one.id == message)
    assert told.headers["traceparent"] == f"00-{deliver.trace}-{deliver.id}-01"


def test_a_retry_is_a_root_that_links_to_the_request(system: System, caller: str) -> None:
    with HttpServer() as failing:  # what it does to its breaker is nobody else's
        message = post(system, failing.url("/status/503"), caller)

        hops = system.hops(message, 8)

    request = hops[0]
    first, again = [hop for hop in hops if hop.name == "publish notifications"][:2]
    failed = next(hop for hop in hops if hop.name == "deliver webhook")
    assert (failed.is_error, failed.attributes["error.type"]) == (True, "http_status")
    assert failed.attributes["http.response.status_code"] == 503
    assert (first.trace, first.parent, first.links) == (request.trace, request.id, [])
    assert again.trace != request.trace
    assert (again.parent, again.links) == ("", [(request.trace, request.id)])
    claim, deliver = (hop for hop in hops if hop.trace == again.trace and hop is not again)
    assert (claim.parent, deliver.parent) == (again.id, claim.id)
    assert deliver.attributes["herald.attempt"] == 2


def test_a_send_by_sql_with_a_traceparent_goes_on_in_its_trace(system: System, caller: str) -> None:
    with connected(system.settings["DATABASE_URL"]) as connection:
        options = json.dumps({"traceparent": caller})
        message = str(fetch_value(connection, "SELECT send('generic_topic', '{}', NULL, %s)::text", options))
        connection.commit()

    publish, claim, deliver = system.hops(message, 3)

    assert {hop.trace for hop in (publish, claim, deliver)} == {caller.split("-")[1]}
    assert [publish.parent, claim.parent, deliver.parent] == [caller.split("-")[2], publish.id, claim.id]


@pytest.mark.parametrize("header", ["traceparent", "ce_traceparent"])
def test_a_record_of_another_producer_goes_on_in_its_trace(system: System, caller: str, header: str) -> None:
    producer = Producer({"bootstrap.servers": system.settings["KAFKA_BOOTSTRAP_SERVERS"]})
    producer.produce("generic_topic", b"{}", headers=[(header, caller)])
    assert producer.flush(10.0) == 0

    def hops() -> list[Exported]:
        found = system.collector.of_trace(caller.split("-")[1])
        assert len(found) == 2, found
        return found

    claim, deliver = eventually(hops, 30.0)
    assert [claim.name, deliver.name] == ["claim generic_topic", "deliver generic_topic"]
    assert [claim.parent, deliver.parent] == [caller.split("-")[2], claim.id]


def test_what_its_caller_does_not_sample_has_no_spans_and_goes_on_as_it_came(system: System, caller: str) -> None:
    unsampled = f"{caller[:-2]}00"
    message = post(system, system.receiver.url(), unsampled)
    told = eventually(lambda: next((one for one in system.receiver.received if one.id == message), None), 30.0)
    after = post(system, system.receiver.url(), None)

    system.hops(after, len(ALL_HOPS))

    assert told is not None
    assert told.headers["traceparent"] == unsampled
    assert system.collector.of_message(message) == []


def test_what_is_left_is_exported_when_a_process_is_told_to_stop(make_herald: MakeHerald) -> None:
    with Collector() as collector:
        herald = make_herald(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, **LATER)
        herald.start_and_deliver()
        assert collector.spans == []

        assert [herald.stop(role) for role in ROLES] == [0, 0, 0]

        assert {span.service for span in collector.spans} == {"herald-api", "herald-relay", "herald-pipeline"}


@pytest.mark.parametrize("is_there", [True, False], ids=["silent", "away"])
def test_a_collector_that_takes_nothing_stops_nothing_and_delays_no_end(
    make_herald: MakeHerald, *, is_there: bool
) -> None:
    with HttpServer() as server:
        url = server.url("/hang") if is_there else f"http://127.0.0.1:{free_port()}"
        herald = make_herald(OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=url, OTEL_BSP_MAX_QUEUE_SIZE="512", **AT_ONCE)
        herald.start_and_deliver()

        posted = [herald.post_notification() for _ in range(600)]

        eventually(lambda: all(herald.look(one)["status"] == "sent" for one in posted[-1:]), 60.0)
        assert [herald.stop(role) for role in ROLES] == [0, 0, 0]
        assert bool(server.received) is is_there
