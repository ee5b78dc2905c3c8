"""Who may what, route by route, over HTTP."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, cast
from uuid import uuid4

import pytest
from litestar.routes import HTTPRoute
from litestar.types import HTTPScope
from prometheus_client import generate_latest

from herald.api.app import make_app
from herald.api.http.access import ACCESS, EVERYBODY
from herald.api.http.gate import Gate
from herald.api.http.problems import ProblemError
from herald.api.http.resources import Budget, Resources
from herald.outbox.postgres.engine import make_engine
from herald.outbox.registry import SCOPES
from herald.outbox.watched.api import METRICS
from tests.api.conftest import NOWHERE, Client, make_settings
from tests.api.fakes import FakeCommitter
from tests.api.keys import GOOD, Locked, locked
from tests.conftest import ROOT, made_database
from tests.docs.pages import rows, section
from tests.servers.eventually import eventually
from tests.servers.postgres import PostgresServer

Route = tuple[str, str]
FILTERED: dict[str, Any] = {"filter": {}}
BODIES: dict[Route, dict[str, Any]] = {
    ("POST", "/notifications"): GOOD,
    ("POST", "/notifications/bulk"): {"items": [GOOD]},
    ("POST", "/messages"): {"topic": "generic_topic", "data": {}},
    ("POST", "/dead-letters/{id}/discard"): {"reason": "r"},
    ("POST", "/dead-letters/requeues"): FILTERED,
    ("POST", "/dead-letters/discards"): {**FILTERED, "reason": "r"},
}


@pytest.fixture(scope="module")
def api(server: PostgresServer, migrated_template: str) -> Iterator[Locked]:
    with made_database(server, migrated_template) as url, locked(url) as api:
        yield api


@pytest.fixture(scope="module")
def keys(api: Locked) -> dict[str, str]:
    """One for each scope, and what is good for nothing."""
    made = {scope: api.key(f"only-{scope.replace(':', '-')}", scope) for scope in SCOPES}
    bad = {"revoked": api.key("revoked", *SCOPES), "expired": api.key("expired", *SCOPES, lifetime=0.001)}
    api.revoke("revoked")
    good = made["send"]
    asked = ("POST", "/messages/x/cancel")
    eventually(lambda: all(api.ask(*asked, one) != 401 for one in made.values()), what="the good keys are known")
    eventually(lambda: all(api.ask(*asked, one) == 401 for one in bad.values()), what="the bad ones are, too")
    wrong = good[:-1] + ("0" if good[-1] != "0" else "1")
    return {**made, **bad, "none": "", "wrong": wrong, "unknown": f"hk_{'0' * 12}_{'0' * 64}", "other": "secret"}


def _asked(api: Locked, route: Route, key: str | None) -> int:
    method, template = route
    path = template.format(id=uuid4(), what="all", path="nothing", file_path="swagger_style.css")
    return api.ask(method, path, key or None, json=BODIES.get(route))


@pytest.mark.parametrize("route", [one for one, needed in ACCESS.items() if needed is not EVERYBODY], ids=" ".join)
def test_a_route_takes_the_keys_that_the_table_says_and_no_others(
    api: Locked, keys: dict[str, str], route: Route
) -> None:
    taken = {kind: _asked(api, route, key) for kind, key in keys.items()}

    needed = ACCESS[route] or frozenset()
    refused = {kind: status for kind, status in taken.items() if kind not in needed}
    assert refused == {kind: 403 if kind in SCOPES else 401 for kind in keys if kind not in needed}
    passed = {404} if "{id}" in route[1] else {200, 202}  # nothing has this id
    assert {taken[kind] for kind in needed} <= passed


def test_who_may_not_is_counted_by_the_reason_and_not_by_the_key(api: Locked, keys: dict[str, str]) -> None:
    topical = api.good_key("for-one-topic", "send", topics=["generic_topic"])
    asked = [keys["none"], keys["wrong"], keys["expired"], keys["revoked"], keys["read"], topical]
    reasons = ("no_key", "wrong_key", "expired_key", "revoked_key", "scope", "topic")
    before = [refused(reason) for reason in (*reasons, "foreign_page")]

    for key in asked:
        assert _asked(api, ("POST", "/notifications"), key) in {401, 403}
    assert api.ask("POST", "/notifications", json=GOOD, headers={"sec-fetch-site": "cross-site"}) == 403

    assert [refused(reason) for reason in (*reasons, "foreign_page")] == [count + 1 for count in before]
    assert b"only-" not in generate_latest(METRICS.registry)
    assert b"for-one-topic" not in generate_latest(METRICS.registry)


def refused(reason: str) -> float:
    return METRICS.registry.get_sample_value("herald_api_access_refused_total", {"reason": reason}) or 0.0


@pytest.mark.parametrize("route", [one for one, needed in ACCESS.items() if needed is EVERYBODY], ids=" ".join)
def test_what_is_everybodys_needs_no_key(api: Locked, route: Route) -> None:
    assert _asked(api, route, None) == (404 if "{path}" in route[1] else 302 if route[1] == "/" else 200)


def test_every_route_stands_in_the_table_and_nothing_else_does() -> None:
    settings = make_settings(NOWHERE)
    app = make_app(Resources(settings, FakeCommitter(), make_engine(settings, "tests"), Budget(settings.memory)))
    routes = [one for one in app.routes if isinstance(one, HTTPRoute)]

    assert {
        (method, one.path_format) for one in routes for method in one.methods - {"HEAD", "OPTIONS"}
    } == ACCESS.keys()


@pytest.mark.parametrize("is_open", ["yes", "no"])
def test_a_route_without_an_entry_is_nobodys(is_open: Literal["yes", "no"]) -> None:
    scope = cast("HTTPScope", {})

    with pytest.raises(ProblemError) as refused:
        Gate(make_settings(NOWHERE, open=is_open)).let_in(scope, {}, ("POST", "/new"))

    assert refused.value.status == 403


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
def test_other_methods_show_no_more_than_a_key_would(api: Locked, method: str) -> None:
    answer = api.answer(method, "/notifications")

    assert answer.status_code == (401 if method == "HEAD" else 204)
    assert answer.content == b""


def test_the_document_says_what_the_table_says(api: Locked) -> None:
    paths = api.answer("GET", "/docs/openapi.json").json()["paths"]

    told = {
        (method.upper(), path): {scope for one in operation["security"] for scope in one["key"]}
        for path, operations in paths.items()
        for method, operation in operations.items()
    }
    assert told == {route: set(needed) for route, needed in ACCESS.items() if needed is not EVERYBODY}


def test_the_document_of_an_open_service_asks_for_no_key(client: Client) -> None:
    assert "security" not in client.get("/docs/openapi.json").json()["paths"]["/messages"]["post"]


def test_the_documentation_says_what_the_table_says() -> None:
    told = {(*row[0].strip("`").split(" "),): row[1] for row in rows(section(ROOT / "docs" / "api.md", "Who may what"))}

    assert told == {
        route: " or ".join(f"`{one}`" for one in sorted(needed)) if needed is not EVERYBODY else "everybody"
        for route, needed in ACCESS.items()
    }


def test_every_scope_is_explained() -> None:
    text = Path(ROOT / "docs" / "api.md").read_text(encoding="utf-8")

    for scope, meaning in SCOPES.items():
        assert f"| `{scope}` | {meaning} |" in text
