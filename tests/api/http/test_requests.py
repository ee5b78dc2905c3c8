"""Each request is counted, and has a line in the log without its contents."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from herald.api.http import requests
from herald.api.http.requests import tell
from herald.outbox.watched.api import METRICS
from tests.api.conftest import Client

GOOD = {"user_id": "ada", "event": "e", "content": "secret"}
COUNT = "herald_api_requests_total"


@pytest.fixture(autouse=True)
def told() -> Iterator[None]:
    """Nothing of other tests is left."""
    requests._noted.clear()  # noqa: SLF001
    yield
    requests._noted.clear()  # noqa: SLF001


def lines() -> list[dict[str, Any]]:
    with capture_logs() as logs:
        tell()
    return [{name: value for name, value in log.items() if name != "milliseconds"} for log in logs]


def counted(method: str, route: str, status: int) -> float:
    labels = {"method": method, "route": route, "status": str(status)}
    return METRICS.registry.get_sample_value(COUNT, labels) or 0.0


def test_a_request_has_a_line_with_its_message_and_the_id_that_its_caller_gave(client: Client) -> None:
    answer = client.post("/notifications", json=GOOD, headers={"X-Request-Id": "r-7"})
    message = answer.json()["id"]

    assert answer.headers["x-request-id"] == "r-7"
    assert lines() == [
        {
            "event": "request",
            "log_level": "info",
            "method": "POST",
            "route": "/notifications",
            "status": 202,
            "request_id": "r-7",
            "ids": [message],
        }
    ]


@pytest.mark.parametrize(
    "given",
    ["", "x" * 65, "two words", "{json}", "\u00e9", "a\tb"],
    ids=["none", "long", "space", "brace", "letter", "tab"],
)
@pytest.mark.parametrize("path", ["/notifications", "/nowhere"])
def test_what_is_no_name_is_replaced_by_one_of_ours_in_the_answer_and_in_the_line(
    client: Client, path: str, given: str
) -> None:
    headers = [(b"X-Request-Id", given.encode())] if given else []
    answers = [client.post(path, json=GOOD, headers=headers).headers["x-request-id"] for _ in range(2)]

    assert [line["request_id"] for line in lines()] == answers
    assert len({*answers, given}) == 3
    assert all(re.fullmatch("[0-9a-f]{12}-[0-9a-f]+", one) for one in answers)


def test_a_trace_names_the_request_that_has_no_name(client: Client) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    assert client.get("/pauses", headers={"traceparent": trace}).headers["x-request-id"] == trace


def test_of_many_messages_a_line_has_the_number_alone(client: Client) -> None:
    items = [{"user_ids": [f"user-{number}" for number in range(20)], "event": "e", "content": "c"}]
    client.post("/notifications/bulk", json={"items": items})

    (line,) = lines()
    assert (line["route"], line["messages"], "ids" in line) == ("/notifications/bulk", 20, False)


def test_a_line_has_the_route_and_nothing_of_what_callers_wrote_into_the_path(client: Client) -> None:
    client.get("/notifications/secret?user_id=ada")
    client.get("/nowhere/secret")
    client.request("SECRETLY", "/notifications")

    told = lines()

    assert [(line["route"], line["status"]) for line in told] == [
        ("/notifications/{id}", 400),
        ("none", 404),
        ("none", 405),
    ]
    assert "secret" not in str(told).lower()


def test_a_probe_that_is_green_has_no_line_and_counts(client: Client) -> None:
    before = counted("GET", "/health/live", 200)
    client.get("/health/live")

    assert lines() == []
    assert counted("GET", "/health/live", 200) == before + 1


def test_head_counts_under_the_route_of_get_and_a_made_up_method_under_other(client: Client) -> None:
    head, other = counted("HEAD", "/health/live", 200), counted("other", "none", 405)
    client.head("/health/live")
    client.request("SECRETLY", "/notifications")

    tell()

    assert counted("HEAD", "/health/live", 200) == head + 1
    assert counted("other", "none", 405) == other + 1


def test_a_refused_body_counts_with_its_status(client: Client) -> None:
    before = counted("POST", "/notifications", 400)
    client.post("/notifications", content=b"{", headers={"content-type": "application/json"})

    (line,) = lines()

    assert (line["status"], counted("POST", "/notifications", 400)) == (400, before + 1)
