"""The OpenAPI document tells the truth, and its page needs no internet."""

import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.api.conftest import Client

ACCEPTING = {"/notifications", "/notifications/bulk", "/messages"}
GOOD = {"user_id": "1", "event": "e", "content": "c"}


@pytest.fixture
def document(client: Client) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/docs/openapi.json").json()
    return found


def _check(document: dict[str, Any], operation: dict[str, Any], response: Any) -> None:
    """Hold a response against what the document says of its status and media type."""
    content = operation["responses"][str(response.status_code)]["content"]
    schema = content[response.headers["content-type"]]["schema"]
    validator = Draft202012Validator({**schema, "components": document["components"]})
    validator.validate(response.json())


def _bodies(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (path, operations["post"]["requestBody"]["content"]["application/json"])
        for path, operations in document["paths"].items()
        if "requestBody" in operations.get("post", {})
    ]


def test_the_document_is_openapi_3_1_and_lists_every_path(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert {path: sorted(operations) for path, operations in document["paths"].items()} == {
        "/notifications": ["get", "post"],
        "/notifications/bulk": ["post"],
        "/notifications/{id}": ["get"],
        "/notifications/{id}/events": ["get"],
        "/messages": ["post"],
        "/messages/{id}": ["get"],
        "/notifications/{id}/cancel": ["post"],
        "/messages/{id}/cancel": ["post"],
        "/dead-letters": ["get"],
        "/dead-letters/groups": ["get"],
        "/dead-letters/{id}": ["get"],
        "/dead-letters/{id}/requeue": ["post"],
        "/dead-letters/{id}/discard": ["post"],
        "/dead-letters/requeues": ["get", "post"],
        "/dead-letters/requeues/{id}": ["delete", "get"],
        "/dead-letters/discards": ["post"],
        "/pauses": ["get"],
        "/pauses/{what}": ["delete", "put"],
    }


def test_every_example_fits_its_schema_and_is_accepted(client: Client, document: dict[str, Any]) -> None:
    bodies = _bodies(document)

    assert {path for path, _ in bodies} > ACCEPTING
    for path, body in bodies:
        Draft202012Validator.check_schema(body["schema"])
        for example in body["examples"].values():
            Draft202012Validator(body["schema"]).validate(example["value"])
            if path in ACCEPTING:
                assert client.post(path, json=example["value"]).status_code == 202


@pytest.mark.parametrize("wrong", [{}, {**GOOD, "x": 1}, {**GOOD, "event": ""}, {**GOOD, "user_id": 1.5}, []])
def test_schema_and_validator_refuse_alike(client: Client, document: dict[str, Any], wrong: object) -> None:
    schema = dict(_bodies(document))["/notifications"]["schema"]

    assert not Draft202012Validator(schema).is_valid(wrong)
    assert client.post("/notifications", json=wrong).status_code == 400


def test_every_path_documents_its_problems(document: dict[str, Any]) -> None:
    for operations in document["paths"].values():
        for method, operation in operations.items():
            with_body = {"409", "413", "415", "422"} if "requestBody" in operation and method == "post" else set()
            expected = {"400", "503"} | with_body
            assert expected <= set(operation["responses"])
            for status in expected:
                assert set(operation["responses"][status]["content"]) == {"application/problem+json"}


def test_every_operation_describes_its_path_and_its_key(document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            found = {(one["in"], one["name"]) for one in operation.get("parameters", [])}
            assert {name for place, name in found if place == "path"} == set(re.findall(r"{(\w+)}", path))
            assert (("header", "Idempotency-Key") in found) == (method == "post"), path


def test_bodies_that_may_be_left_out_are_described_so(document: dict[str, Any]) -> None:
    optional = {
        path
        for path, operations in document["paths"].items()
        for operation in operations.values()
        if operation.get("requestBody", {}).get("required") is False
    }

    assert optional == {"/dead-letters/{id}/requeue", "/pauses/{what}"}


def test_answers_fit_the_document(herald: Client) -> None:
    document = herald.get("/docs/openapi.json").json()
    paths = document["paths"]
    accepted = herald.post("/notifications", json=GOOD)
    bulk = herald.post("/notifications/bulk", json={"items": [GOOD]})
    message = herald.post("/messages", json={"topic": "generic_topic", "data": {"a": 1}})
    path = f"/notifications/{accepted.json()['id']}"

    _check(document, paths["/notifications"]["post"], accepted)
    _check(document, paths["/notifications"]["post"], herald.post("/notifications", json={}))
    _check(document, paths["/notifications/bulk"]["post"], bulk)
    _check(document, paths["/messages"]["post"], message)
    _check(document, paths["/messages/{id}"]["get"], herald.get(f"/messages/{message.json()['id']}"))
    _check(document, paths["/notifications"]["get"], herald.get("/notifications?limit=1"))
    _check(document, paths["/notifications/{id}"]["get"], herald.get(path))
    _check(document, paths["/notifications/{id}"]["get"], herald.get("/notifications/x"))
    _check(document, paths["/notifications/{id}/events"]["get"], herald.get(f"{path}/events"))


def test_the_page_loads_everything_from_herald_itself(client: Client) -> None:
    page = client.get("/docs")

    assert page.status_code == 200
    loaded = re.findall(r"""(?:src|href)=["']([^"']+)["']""", page.text)
    files = [url for url in loaded if not url.startswith("data:")]
    assert len(files) == 3
    for url in files:
        assert url.startswith("/docs/assets/")
        assert client.get(url).status_code == 200


def test_the_address_leads_to_the_documentation(client: Client) -> None:
    response = client.get("/", follow_redirects=False)

    assert response.status_code == 302
    assert response.headers["location"] == "/docs"
