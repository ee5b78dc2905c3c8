"""The OpenAPI document tells the truth, and its page needs no internet."""

import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.api.conftest import Client

ACCEPTING = {"/notifications", "/notifications/bulk", "/messages"}
GOOD = {"user_id": "1", "event": "e", "content": "c"}
GROUPED = {"user_ids": ["1", "2"], "event": "e", "content": "c"}


@pytest.fixture
def document(client: Client) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/docs/openapi.json").json()
    return found


def _check(document: dict[str, Any], operation: dict[str, Any], response: Any) -> None:
    """Hold a response against what the document says of its status and media type."""
    content = operation["responses"][str(response.status_code)]["content"]
    schema = content[response.headers["content-type"]]["schema"]
    validator(document, schema).validate(response.json())


def validator(document: dict[str, Any], schema: dict[str, Any]) -> Draft202012Validator:
    whole = {**schema, "components": document["components"]}
    Draft202012Validator.check_schema(whole)
    return Draft202012Validator(whole, format_checker=Draft202012Validator.FORMAT_CHECKER)


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
        "/notifications/{id}/again": ["post"],
        "/messages/{id}/again": ["post"],
        "/groups/{id}": ["get"],
        "/groups/{id}/cancel": ["post"],
        "/dead-letters": ["get"],
        "/dead-letters/groups": ["get"],
        "/dead-letters/{id}": ["get"],
        "/dead-letters/{id}/requeue": ["post"],
        "/dead-letters/{id}/discard": ["post"],
        "/dead-letters/requeues": ["get", "post"],
        "/dead-letters/requeues/{id}": ["get"],
        "/dead-letters/requeues/{id}/stop": ["post"],
        "/dead-letters/discards": ["post"],
        "/pauses": ["get"],
        "/pauses/{what}": ["delete", "put"],
    }


def test_every_example_fits_its_schema_and_is_accepted(client: Client, document: dict[str, Any]) -> None:
    bodies = _bodies(document)

    assert {path for path, _ in bodies} > ACCEPTING
    for path, body in bodies:
        for example in body["examples"].values():
            validator(document, body["schema"]).validate(example["value"])
            if path in ACCEPTING:
                assert client.post(path, json=example["value"]).status_code == 202


BOTH = {**GOOD, "user_ids": ["2"]}
ADDRESSED = {**GOOD, "channel": "email"}
DATED = {"topic": "notifications", "data": GOOD, "deliver_at": "2026-12-01T10:00:00Z"}


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        ("/notifications", {}),
        ("/notifications", []),
        ("/notifications", {**GOOD, "x": 1}),
        ("/notifications", {**GOOD, "event": ""}),
        ("/notifications", {**GOOD, "user_id": 1.5}),
        ("/notifications", {**GOOD, "user_id": 10**255}),
        ("/notifications", {**GOOD, "content": "a\0"}),
        ("/notifications", {**GOOD, "subject": "a\tb"}),
        ("/notifications", {**GOOD, "channel": "pigeon"}),
        ("/notifications", {**GOOD, "channel": "webhook", "address": "https://example.com"}),
        ("/notifications", ADDRESSED),
        ("/notifications", {**ADDRESSED, "address": None}),
        ("/notifications", {**GOOD, "deliver_at": "2026-12-01T10:00:00"}),
        ("/notifications", {**GOOD, "deliver_at": "2026-12-01T10:00:60Z"}),
        ("/notifications", {**GOOD, "deliver_at": "0000-12-01T10:00:00Z"}),
        ("/notifications", {**GOOD, "deliver_at": "2026-12-01T10:00:00+16:00"}),
        ("/notifications/bulk", {"items": [BOTH]}),
        ("/notifications/bulk", {"items": [{"event": "e", "content": "c"}]}),
        ("/messages", {"topic": "nobody's", "data": {}}),
        ("/messages", {"topic": "generic_topic", "data": []}),
        ("/messages", {"topic": "generic_topic", "data": {"\0": 1}}),
        ("/messages", {"topic": "notifications", "data": {**GOOD, "x": 1}}),
        ("/messages", DATED),
    ],
)
def test_schema_and_validator_refuse_alike(client: Client, document: dict[str, Any], path: str, wrong: object) -> None:
    schema = dict(_bodies(document))[path]["schema"]

    assert not validator(document, schema).is_valid(wrong)
    assert client.post(path, json=wrong).status_code == 400


@pytest.mark.parametrize(
    ("path", "right"),
    [
        ("/notifications", {**GOOD, "user_id": 10**254}),
        ("/notifications", {**GOOD, "channel": None, "address": None, "subject": "Grüße"}),
        ("/notifications", {**ADDRESSED, "address": "ada@example.com"}),
        ("/notifications", {**GOOD, "deliver_at": "2026-11-01t10:00:00.5-15:59"}),
        ("/messages", {"topic": "notifications", "data": GOOD, "deliver_at": None}),
        ("/messages", {"topic": "generic_topic", "data": {"a": [{"b": "ü"}, 1.5, None]}, "key": None}),
    ],
)
def test_schema_and_validator_accept_alike(client: Client, document: dict[str, Any], path: str, right: object) -> None:
    validator(document, dict(_bodies(document))[path]["schema"]).validate(right)

    answer = client.post(path, json=right)
    assert answer.status_code == 202, answer.text


@pytest.mark.parametrize("path", ["/notifications", "/dead-letters"])
@pytest.mark.parametrize(
    ("name", "value", "is_right"),
    [
        ("cursor", "AZCk8A8Pd7eEA38PS6r0cw", True),
        ("cursor", "AZCk8A8Pd7eEA38PS6r0cx", False),
        ("cursor", "", False),
        ("status", "dead", True),
        ("status", "null", False),
        ("limit", "1001", False),
        ("event", "", False),
        ("event", "a\0", False),
        ("event", "null", True),
    ],
)
def test_a_query_is_described_as_it_is_checked(
    herald: Client, path: str, name: str, value: str, *, is_right: bool
) -> None:
    _check_query(herald, path, name, value, is_right=is_right)


@pytest.mark.parametrize(
    ("group", "is_right"),
    [
        ("0196F0de-0000-7000-8000-000000000000", True),
        ("0196f0de000070008000000000000000", False),
        ("{0196f0de-0000-7000-8000-000000000000}", False),
    ],
)
def test_a_group_is_described_as_it_is_checked(herald: Client, group: str, *, is_right: bool) -> None:
    _check_query(herald, "/notifications", "group", group, is_right=is_right)


def _check_query(herald: Client, path: str, name: str, value: str, *, is_right: bool) -> None:
    document = herald.get("/docs/openapi.json").json()
    (schema,) = [one["schema"] for one in document["paths"][path]["get"]["parameters"] if one["name"] == name]
    read = int(value) if schema.get("type") == "integer" else value

    assert Draft202012Validator(schema).is_valid(read) == is_right
    assert herald.get(path, params={name: value}).status_code == (200 if is_right else 400)


@pytest.mark.parametrize(
    ("key", "is_right"),
    [
        *[(key, True) for key in ("k", "a b", '"a b"', '"a\\"b"', "k" * 255)],
        *[(key, False) for key in ("", '"k', '""', '"a\\b"', "k" * 256, "k\x7f")],
    ],
)
def test_a_key_is_described_as_it_is_checked(
    client: Client, document: dict[str, Any], key: str, *, is_right: bool
) -> None:
    parameters = document["paths"]["/notifications"]["post"]["parameters"]
    (schema,) = [one["schema"] for one in parameters if one["name"] == "Idempotency-Key"]

    assert Draft202012Validator(schema).is_valid(key) == is_right
    answer = client.post("/notifications", json=GOOD, headers={"idempotency-key": key})
    assert answer.status_code == (202 if is_right else 400)


def test_what_can_be_paused_is_described(document: dict[str, Any]) -> None:
    (what,) = document["paths"]["/pauses/{what}"]["put"]["parameters"]

    assert what["schema"] == {"$ref": "#/components/schemas/Scope"}
    assert {"all", "topic:notifications", "channel:log"} <= set(document["components"]["schemas"]["Scope"]["enum"])


def test_a_channel_that_is_not_set_up_is_not_described(herald: Client) -> None:
    schemas = herald.get("/docs/openapi.json").json()["components"]["schemas"]

    assert schemas["Notification"]["properties"]["channel"]["enum"] == ["log", None]


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
    bulk = herald.post("/notifications/bulk", json={"items": [GOOD, GROUPED]})
    group = f"/groups/{bulk.json()['items'][1]['group']}"
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
    _check(document, paths["/groups/{id}"]["get"], herald.get(group))
    _check(document, paths["/groups/{id}/cancel"]["post"], herald.post(f"{group}/cancel"))


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
