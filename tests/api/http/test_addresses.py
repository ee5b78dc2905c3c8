"""A wrong path, method or parameter is a problem too."""

import re

import pytest

from tests.api.conftest import NOWHERE, Client, make_settings
from tests.api.fakes import FakeCommitter
from tests.api.serving import Caller, serving

UNKNOWN_ID = "0196f0de-0000-7000-8000-000000000000"


@pytest.mark.parametrize(
    ("query", "field", "mentioned"),
    [
        ("cursor=x", "cursor", "gave out"),
        ("cursor=AaIIicqzcYauz2XcGGC_W", "cursor", "gave out"),
        ("cursor=", "cursor", "gave out"),
        ("cursor=AaIIicqzcYauz2XcGGC_Wx", "cursor", "gave out"),  # the bytes of a cursor, not its spelling
        ("cursor=AaIIicqz!cYauz2XcGGC_Ww", "cursor", "gave out"),
        ("cursor=%C3%A9", "cursor", "gave out"),
        ("limit=0", "limit", ">= 1"),
        ("limit=1001", "limit", "<= 1000"),
        ("limit=many", "limit", "int"),
        ("limit=1&limit=2", "limit", "more than once"),
        ("status=lost", "status", "lost"),
        ("user=1", "user", "known: user_id"),
        ("user_id=%00", "user_id", "NUL"),
        ("user_id=", "user_id", ">= 1"),
        ("event=" + "e" * 256, "event", "<= 255"),
    ],
)
def test_a_wrong_parameter_is_refused_by_name(client: Client, query: str, field: str, mentioned: str) -> None:
    response = client.get(f"/notifications?{query}")

    assert response.status_code == 400
    assert response.headers["content-type"] == "application/problem+json"
    assert [error["field"] for error in response.json()["errors"]] == [field]
    assert mentioned in response.json()["detail"]


@pytest.mark.parametrize("path", ["/notifications/7", "/notifications/7/events", "/messages/x"])
def test_a_malformed_id_is_refused_by_name(client: Client, path: str) -> None:
    response = client.get(path)

    assert response.status_code == 400
    assert response.json()["errors"][0]["field"] == "id"


@pytest.mark.parametrize(
    "path", ["/nothing", "/docs/nothing", "/docs/assets/nothing", f"/notifications/{UNKNOWN_ID}/x"]
)
def test_an_unknown_path_is_a_problem(client: Client, path: str) -> None:
    response = client.get(path)

    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["title"] == "Not Found"


def test_a_wrong_method_is_a_problem_that_names_the_right_ones(client: Client) -> None:
    response = client.delete("/notifications")

    assert response.status_code == 405
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["allow"] == "GET, HEAD, OPTIONS, POST"


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/notifications", "GET, HEAD, OPTIONS, POST"),
        ("/dead-letters/requeues", "GET, HEAD, OPTIONS, POST"),
        ("/pauses/all", "DELETE, OPTIONS, PUT"),
        ("/notifications/bulk", "OPTIONS, POST"),
        (f"/messages/{UNKNOWN_ID}", "GET, HEAD, OPTIONS"),
    ],
)
def test_options_names_every_method_of_a_path(client: Client, path: str, allowed: str) -> None:
    response = client.options(path)

    assert (response.status_code, response.headers["allow"], response.content) == (204, allowed, b"")


def test_options_of_an_unknown_path_is_a_problem(client: Client) -> None:
    assert client.options("/nothing").status_code == 404


def test_an_answer_to_options_is_as_long_as_it_says(committer: FakeCommitter) -> None:
    with serving(make_settings(NOWHERE), committer) as port, Caller(port) as caller:
        caller.sendall(b"OPTIONS /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n")
        caller.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")

        answers = caller.read_all()

    assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"404", b"200"]
