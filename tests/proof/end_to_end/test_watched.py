"""What each process shows of itself after real traffic."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from time import monotonic
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from herald.outbox.postgres.driver import Connection
from herald.outbox.watched import api, pipeline, relay
from herald.outbox.watched.metrics import Metrics
from tests.proof.end_to_end.destinations import WEBHOOKS, letter
from tests.proof.end_to_end.system import ROLES, SETTLED, STARTED, Herald, MakeHerald, show, statuses
from tests.servers.eventually import eventually
from tests.servers.http_server import HttpServer

METRICS: Mapping[str, Metrics] = {"api": api.METRICS, "relay": relay.METRICS, "pipeline": pipeline.METRICS}
ACCEPTED = 'herald_api_requests_total{method="POST",route="/notifications",status="202"}'
SENT = 20
SCRAPES = 20
_TYPE = re.compile(r"^# TYPE (herald_\w+) (\w+)$", re.MULTILINE)


@pytest.fixture
def receiver() -> Iterator[HttpServer]:
    with HttpServer() as server:
        yield server


def test_metrics_agree_with_what_was_accepted_sent_repeated_and_given_up(
    make_herald: MakeHerald, connection: Connection, receiver: HttpServer
) -> None:
    herald = make_herald(**WEBHOOKS, HERALD_RETRY_BASE="3600")
    herald.start_and_deliver()
    key = {"Idempotency-Key": "4f5b2d6e-8a10-4c7b-9a55-1a2b3c4d5e6f"}
    body = letter("ada", "webhook", receiver.url("/status/410"))
    for _ in range(2):
        assert herald.client.post("/notifications", json=body, headers=key).status_code == 202
    herald.post("/notifications", letter("eve", "webhook", receiver.url("/status/503")))
    for number in range(SENT - 1):
        herald.post_notification(f"user-{number}")
    assert herald.client.get("/nowhere").status_code == 404
    ends = {"sent": SENT, "dead": 1, "failed": 1}
    eventually(lambda: statuses(connection) == ends, SETTLED)

    accepted = once_told(herald, "api", ACCEPTED, SENT + 3)
    assert accepted["herald_accepted_messages_total"] == SENT + 2
    assert accepted["herald_repeated_requests_total"] == 1
    assert accepted['herald_api_requests_total{method="GET",route="none",status="404"}'] == 1
    called = once_told(herald, "pipeline", "herald_open_attempts", 0)
    assert called['herald_attempts_total{channel="log",code="sent",destination="",outcome="sent"}'] == SENT
    assert sum_of(called, "herald_attempts_total", 'outcome="dead"') == 1
    assert sum_of(called, "herald_attempts_total", 'outcome="failed"') == 1
    assert called["herald_claimed_messages_total"] == SENT + 2
    published = once_told(herald, "relay", "herald_published_records_total", SENT + 3)  # with the dead letter
    assert published["herald_relay_leads"] == 1
    looked = once_told(herald, "relay", 'herald_dead_letters{status="dead"}', 1)
    assert sum_of(looked, "herald_waiting_messages") == 1
    eventually(lambda: sum_of(read(herald, "relay"), "herald_lag_records") == 0, SETTLED)
    assert looked["herald_due_oldest_seconds"] == looked["herald_unpublished_oldest_seconds"] == 0


def test_a_request_and_a_call_that_fails_have_a_line_each_without_contents(
    make_herald: MakeHerald, receiver: HttpServer
) -> None:
    herald = make_herald(**WEBHOOKS)
    herald.start("api", "relay", "pipeline")
    herald.await_api()

    dies = herald.post("/notifications", letter("ada", "webhook", receiver.url("/status/410")))

    (line,) = eventually(lambda: logged(herald, "pipeline", "message_died"), STARTED)
    destination = f"webhook:127.0.0.1:{receiver.port}"
    assert (line["id"], line["destination"], line["code"], line["attempt"]) == (dies, destination, "http_status", 1)
    assert line["milliseconds"] > 0
    (asked,) = eventually(lambda: logged(herald, "api", "request"))
    assert (asked["method"], asked["route"], asked["status"], asked["ids"]) == ("POST", "/notifications", 202, [dies])
    assert (asked["role"], asked["level"], asked["timestamp"][-1]) == ("api", "info", "Z")
    assert not any("hello" in str(one) or "ada" in str(one) for one in (line, asked))


def test_every_process_shows_every_metric_that_is_listed_of_it_and_none_of_its_messages(
    herald: Herald,
) -> None:
    herald.start_and_deliver()
    eventually(lambda: "herald_looked_timestamp_seconds" in herald.scrape("relay"), SETTLED)
    eventually(lambda: "herald_lag_records" in herald.scrape("relay"), SETTLED)

    for role in ROLES:
        scraped = herald.scrape(role)

        assert set(_TYPE.findall(scraped)) == {(one.name, one.kind) for one in METRICS[role].listed}
        assert not re.search(r"\b(ada|greeting|localhost|127\.0\.0\.1)\b|[0-9a-f]{8}-[0-9a-f]{4}", scraped)
        seconds = min(timed(partial(herald.scrape, role)) for _ in range(SCRAPES))
        show(f"a scrape of {role}: {len(scraped)} bytes in {1000 * seconds:.1f} ms")


def test_every_process_is_live_and_ready_on_its_own_port(herald: Herald) -> None:
    herald.start_and_deliver()

    for role in ROLES:
        assert herald.health(role, "live") == (200, '{"status": "live"}')
        eventually(partial(is_ready, herald, role), SETTLED)


def read(herald: Herald, role: str) -> dict[str, float]:
    """Samples by name and labels in their order."""
    found = {}
    for family in text_string_to_metric_families(herald.scrape(role)):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def once_told(herald: Herald, role: str, name: str, value: float) -> dict[str, float]:
    """All samples, once one of them has this value: processes count after the database knows."""

    def told() -> dict[str, float]:
        found = read(herald, role)
        assert found.get(name) == value, name
        return found

    return eventually(told, SETTLED)


def logged(herald: Herald, role: str, event: str) -> list[dict[str, Any]]:
    lines = [line for line in herald.processes[role].output().splitlines() if f'"{event}"' in line]
    return [found for line in lines if (found := json.loads(line))["event"] == event and found.get("status") != 503]


def sum_of(samples: Mapping[str, float], name: str, label: str = "") -> float:
    return sum(value for key, value in samples.items() if key.startswith(name) and label in key)


def is_ready(herald: Herald, role: str) -> bool:
    return herald.health(role, "ready") == (200, '{"status": "ready"}')


def timed(act: Callable[[], object]) -> float:
    began = monotonic()
    act()
    return monotonic() - began
