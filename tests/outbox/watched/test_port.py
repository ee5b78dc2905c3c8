"""The port for those who watch."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from time import thread_time

import httpx2
import pytest
from prometheus_client import CollectorRegistry, Counter

from herald.outbox.watched.port import AT_ONCE, PATIENCE, PortError, Watched, answer, serve
from herald.outbox.watched.relay import DUTY_EVENTS, DUTY_SECONDS, LAG, METRICS
from tests.servers.ports import free_port

Ask = Callable[..., httpx2.Response]


@pytest.fixture
def lacking() -> list[str]:
    return []


@pytest.fixture
def port(lacking: list[str]) -> int:
    registry = CollectorRegistry()
    Counter("herald_things_total", "Things", registry=registry).inc(3)
    return serve("127.0.0.1", 0, Watched(registry, lambda: lacking, lambda: lacking))


@pytest.fixture
def ask(port: int) -> Iterator[Ask]:
    with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
        yield lambda path, method="GET": client.request(method, path)


def test_metrics_are_in_the_form_that_prometheus_reads(ask: Ask) -> None:
    answer = ask("/metrics")

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert "herald_things_total 3.0" in answer.text


@pytest.mark.parametrize("state", ["live", "ready"])
def test_health_is_green_where_nothing_lacks_and_names_what_does(ask: Ask, lacking: list[str], state: str) -> None:
    assert (ask(f"/health/{state}").status_code, ask(f"/health/{state}").json()) == (200, {"status": state})

    lacking.append("worker")

    answer = ask(f"/health/{state}")
    assert answer.status_code == 503
    assert "worker" in answer.text


@pytest.mark.parametrize("path", ["/metrics", "/health/live", "/health/ready"])
def test_head_is_answered_as_get_is_without_a_body(ask: Ask, path: str) -> None:
    head, get = ask(path, "HEAD"), ask(path)

    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == get.headers["content-length"]


def test_nothing_else_is_there(ask: Ask) -> None:
    assert [ask(path).status_code for path in ("/", "/notifications", "/docs", "/metrics/x")] == [404] * 4
    assert ask("/metrics", "POST").status_code == 405
    assert ask("/metrics", "POST").headers["allow"] == "GET, HEAD"


def test_who_speaks_something_else_is_told(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as caller:
        caller.sendall(b"HELO\r\n\r\n")

        assert caller.recv(100).startswith(b"HTTP/1.1 400 ")


def test_who_says_nothing_makes_room_for_others(port: int, ask: Ask) -> None:
    with ExitStack() as silent:
        for _ in range(3 * AT_ONCE):
            silent.enter_context(closing(socket.create_connection(("127.0.0.1", port), timeout=10)))

        assert ask("/health/live").status_code == 200


def test_who_says_nothing_is_left(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE + 8) as silent:
        assert silent.recv(1) == b""


def test_a_port_that_is_taken_is_named_with_its_setting() -> None:
    port = free_port()
    with closing(socket.create_server(("127.0.0.1", port))), pytest.raises(PortError) as error:
        serve("127.0.0.1", port, Watched(CollectorRegistry(), list, list))

    assert f"HERALD_METRICS_PORT: 127.0.0.1:{port}" in str(error.value)


def test_a_scrape_of_a_relay_with_a_hundred_partitions_takes_less_than_20_milliseconds() -> None:
    LAG.tell({("notifications", str(number)): number for number in range(100)})
    for duty in range(12):
        DUTY_SECONDS.labels(f"duty-{duty}").observe(0.01)
        DUTY_EVENTS.labels(f"duty-{duty}").inc()
    watched = Watched(METRICS.registry, list, list)

    def processor_seconds() -> float:
        began = thread_time()
        assert answer(watched, "/metrics").status == 200
        return thread_time() - began

    assert min(processor_seconds() for _ in range(10)) < 0.02
    METRICS.forget()
