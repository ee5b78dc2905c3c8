"""What a page of somebody else's can have a browser do."""

import base64
import hashlib
import re

import httpx2
import pytest

from tests.api.conftest import NOWHERE, Client, make_settings
from tests.api.fakes import FakeCommitter
from tests.api.serving import serving

GOOD = {"user_id": "1", "event": "e", "content": "c"}
FOREIGN = [
    {"origin": "https://elsewhere.example"},
    {"origin": "null"},
    {"origin": "http://127.0.0.1:1"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site", "origin": "http://127.0.0.1"},
]
OWN: list[dict[str, str]] = [
    {},
    {"origin": "http://127.0.0.1"},
    {"sec-fetch-site": "same-origin"},
    {"sec-fetch-site": "same-origin", "origin": "https://what.a.proxy.is.called"},
    {"sec-fetch-site": "none"},
]
WRITES = [
    ("POST", "/notifications"),
    ("POST", "/messages"),
    ("POST", "/messages/01900000-0000-7000-8000-000000000001/cancel"),
    ("POST", "/dead-letters/discards"),
    ("PUT", "/pauses/all"),
    ("DELETE", "/pauses/all"),
    ("POST", "/nowhere"),
]


@pytest.mark.parametrize("headers", FOREIGN)
@pytest.mark.parametrize(("method", "path"), WRITES)
def test_a_write_that_a_foreign_page_asks_for_is_refused(
    client: Client, method: str, path: str, headers: dict[str, str]
) -> None:
    answer = client.request(method, path, headers=headers, json=GOOD)

    assert answer.status_code == 403
    assert answer.headers["content-type"] == "application/problem+json"
    assert "only pages of this address may" in answer.json()["detail"]


def test_what_a_foreign_page_sends_is_not_accepted(client: Client, committer: FakeCommitter) -> None:
    client.post("/notifications", json=GOOD, headers=FOREIGN[0])

    assert committer.accepted == []


@pytest.mark.parametrize("headers", OWN)
def test_a_write_of_a_program_or_of_a_page_of_the_same_address_is_accepted(
    client: Client, headers: dict[str, str]
) -> None:
    assert client.post("/notifications", json=GOOD, headers=headers).status_code == 202


@pytest.mark.parametrize("headers", FOREIGN)
def test_no_page_of_another_address_may_read_an_answer(client: Client, headers: dict[str, str]) -> None:
    answer = client.get("/docs/openapi.json", headers=headers)

    assert answer.status_code == 200
    assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_nothing_that_is_not_heralds_runs_in_its_page(client: Client) -> None:
    page = client.get("/docs")
    (script,) = re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)
    policy = dict(part.split(" ", 1) for part in page.headers["content-security-policy"].split("; "))

    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy["script-src"] == f"'self' 'sha256-{digest}'"
    assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == policy["frame-ancestors"] == "'none'"
    assert "unsafe" not in page.headers["content-security-policy"]
    assert not re.findall(r"""\s(?:style|on\w+)=""", page.text)
    assert page.headers["x-frame-options"] == "DENY"


def test_no_answer_is_taken_for_something_else_than_it_says() -> None:
    with serving(make_settings(NOWHERE), FakeCommitter()) as port:
        for answer in (
            httpx2.post(f"http://127.0.0.1:{port}/notifications", json=GOOD),
            httpx2.get(f"http://127.0.0.1:{port}/docs"),
        ):
            assert answer.headers["x-content-type-options"] == "nosniff"
