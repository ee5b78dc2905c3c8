"""What reads the OpenAPI document to make something of it: Spectral, and generators of clients."""

import asyncio
import importlib
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from tests.api.conftest import Client
from tests.clients.building import assert_passes, install_node_packages

HERE = Path(__file__).parent / "generators"
PACKAGE = "generated_herald"


@pytest.fixture
def document(client: Client, tmp_path: Path) -> Path:
    """As it is served, in a file, beside what reads it in TypeScript."""
    install_node_packages(HERE)
    for name in ("use.ts", "tsconfig.json", "package.json", ".spectral.yaml"):
        shutil.copy(HERE / name, tmp_path)
    (tmp_path / "node_modules").symlink_to(HERE / "node_modules")
    (tmp_path / "document.json").write_text(client.get("/docs/openapi.json").text)
    return tmp_path / "document.json"


@pytest.fixture
def generated(client: Client, tmp_path: Path) -> Iterator[Callable[[str], ModuleType]]:
    """Imports a module of a client in Python that was made of the document."""
    document, config = tmp_path / "document.json", tmp_path / "config.yaml"
    document.write_text(client.get("/docs/openapi.json").text)
    config.write_text(json.dumps({"package_name_override": PACKAGE, "post_hooks": []}))
    command = [str(Path(sys.executable).with_name("openapi-python-client")), "generate", "--fail-on-warning"]
    assert_passes([*command, "--path", str(document), "--config", str(config), "--meta", "none"], tmp_path)
    sys.path.insert(0, str(tmp_path))
    yield lambda name: importlib.import_module(f"{PACKAGE}.{name}")
    sys.path.remove(str(tmp_path))
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]


@pytest.mark.node
def test_spectral_finds_no_error_in_the_document(document: Path) -> None:
    printed = assert_passes(
        ["node_modules/.bin/spectral", "lint", "--format", "json", "--fail-severity", "error", document.name],
        document.parent,
    )

    assert {found["code"] for found in json.loads(printed)} <= {"info-contact", "oas3-operation-security-defined"}


@pytest.mark.node
def test_a_client_in_typescript_that_was_generated_compiles_and_refuses_what_herald_would(document: Path) -> None:
    assert_passes(["node_modules/.bin/openapi-typescript", document.name, "-o", "document.ts"], document.parent)

    assert_passes(["node_modules/.bin/tsc", "-p", "."], document.parent)


def test_a_client_in_python_that_was_generated_has_each_operation(
    client: Client, generated: Callable[[str], ModuleType]
) -> None:
    document = client.get("/docs/openapi.json").json()
    operations = [
        f"api.{operation['tags'][0].replace(' ', '_')}.{_snake(operation['operationId'])}"
        for path in document["paths"].values()
        for operation in path.values()
    ]

    assert all(hasattr(generated(name), "asyncio_detailed") for name in operations)
    assert len(operations) > 20


def test_a_client_in_python_that_was_generated_is_understood(
    client: Client, generated: Callable[[str], ModuleType]
) -> None:
    made: Any = generated("client").Client(base_url="http://127.0.0.1")
    transport = httpx.ASGITransport(client.app)
    made.set_async_httpx_client(httpx.AsyncClient(base_url="http://127.0.0.1", transport=transport))
    accept = generated("api.notifications.accept_notification")
    shape = generated("models.notification").Notification

    good = asyncio.run(accept.asyncio(client=made, body=shape(user_id="42", event="e", content="c")))
    refused = asyncio.run(accept.asyncio(client=made, body=shape(user_id="", event="e", content="c")))

    assert (type(good).__name__, len(str(good.id))) == ("Accepted", 36)
    assert (refused.status, refused.errors[0].field) == (400, "user_id")


def _snake(name: str) -> str:
    return "".join(f"_{sign.lower()}" if sign.isupper() else sign for sign in name)
