"""Each client against a Herald that runs; in one file, so that one process starts one Herald for all."""

import asyncio
import tomllib
from dataclasses import fields
from pathlib import Path

import psycopg
import pytest
from herald_client import Accepted, AcceptedOfMany, AsyncClient, Client, Event, Group, Message, Notification
from herald_client.statements import DOLLARS, PERCENTS, cancel

from tests.clients.building import CLIENTS, TYPESCRIPT, assert_passes, build_typescript, missing
from tests.clients.conftest import MakeRun
from tests.clients.outbox_runner import Way, is_undone, run_outbox
from tests.clients.python_runner import run_all
from tests.clients.ways import ASYNC_WAYS, WAYS
from tests.conftest import require
from tests.docs.pages import blocks
from tests.installed import make_environment
from tests.proof.end_to_end.system import Herald

GO_MODULE = "example.org/herald/clients/go"
PRINTED = "pending 42 Your parcel is on its way.\n"


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_the_client_in_python_does_what_the_vectors_say(
    make_run: MakeRun, kind: type[Client] | type[AsyncClient]
) -> None:
    with make_run() as run:
        assert asyncio.run(run_all(run, kind)) == []


@pytest.mark.parametrize("way", [*WAYS, *ASYNC_WAYS], ids=lambda way: way.__name__)
def test_in_python_what_commits_is_sent_and_what_is_rolled_back_never_was(make_run: MakeRun, way: Way) -> None:
    with make_run(over_http=False) as run:
        assert asyncio.run(run_outbox(run, way)) == []
        assert asyncio.run(is_undone(run, way))


def test_the_schema_is_quoted_as_an_identifier_whatever_the_style_of_parameters() -> None:
    statement = cancel("00000000-0000-7000-8000-000000000000")

    assert statement.sql('a "b" 5%s', PERCENTS) == 'SELECT "a ""b"" 5%%s".cancel(%s::text::uuid)::text'
    assert statement.sql("a {b} 5%s", DOLLARS) == 'SELECT "a {b} 5%s".cancel($1::text::uuid)::text'


def test_a_transaction_of_the_example_in_python_is_sent(make_run: MakeRun) -> None:
    text = blocks(CLIENTS / "python" / "README.md", "python")[1].text
    with make_run(over_http=False) as run, psycopg.connect(run.database_url) as connection:
        connection.execute("CREATE TEMP TABLE orders (id int)")
        connection.commit()
        compiled = compile(text.replace("order.placed", f"placed.{run.vectors['run']}"), "README.md", "exec")
        exec(compiled, {"connection": connection})  # noqa: S102 - it is what the page says

        with Client(run.herald_url) as client:
            assert len(client.notifications(event=f"placed.{run.vectors['run']}").items) == 1


@pytest.mark.node
def test_in_typescript_what_commits_is_sent_and_what_is_rolled_back_never_was(make_run: MakeRun) -> None:
    require("the client in TypeScript", missing("node", "npm"))
    build_typescript()

    with make_run(over_http=False) as run:
        assert_passes(["node", "--test", "test/outbox.test.mjs"], TYPESCRIPT, run.environment)


@pytest.mark.go
def test_in_go_what_commits_is_sent_and_what_is_rolled_back_never_was(make_run: MakeRun) -> None:
    require("the client in Go", missing("go"))

    with make_run(over_http=False) as run:
        assert_passes(["go", "test", "-count=1", "./..."], CLIENTS / "go" / "drivers", run.environment)


@pytest.mark.node
def test_the_client_in_typescript_does_what_the_vectors_say(make_run: MakeRun) -> None:
    require("the client in TypeScript", missing("node", "npm"))
    build_typescript()

    with make_run() as run:
        assert_passes(["node", "--test", "test/vectors.test.mjs"], TYPESCRIPT, run.environment)


@pytest.mark.go
def test_the_client_in_go_does_what_the_vectors_say(make_run: MakeRun) -> None:
    require("the client in Go", missing("go"))

    with make_run() as run:
        assert_passes(["go", "test", "-count=1", "-parallel=32", "./..."], CLIENTS / "go", run.environment)


def test_the_example_in_python_runs_where_nothing_but_its_requirement_is_installed(
    herald: Herald, tmp_path: Path
) -> None:
    project = tomllib.loads((CLIENTS / "python" / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    site = make_environment(tmp_path, project["dependencies"])
    (site / "herald_client").symlink_to(CLIENTS / "python" / "src" / "herald_client")
    (tmp_path / "example.py").write_text(example("python", "python", herald), encoding="utf-8")

    assert assert_passes([str(tmp_path / "bin" / "python"), "example.py"], tmp_path) == PRINTED


@pytest.mark.node
def test_the_example_in_typescript_runs(herald: Herald, tmp_path: Path) -> None:
    require("the client in TypeScript", missing("node", "npm"))
    build_typescript()
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / "herald-client").symlink_to(TYPESCRIPT)
    (tmp_path / "example.mjs").write_text(example("typescript", "js", herald), encoding="utf-8")

    assert assert_passes(["node", "example.mjs"], tmp_path) == PRINTED


@pytest.mark.go
def test_the_example_in_go_runs(herald: Herald, tmp_path: Path) -> None:
    require("the client in Go", missing("go"))
    module = f"module example\n\ngo 1.24\n\nrequire {GO_MODULE} v0.0.0\n\nreplace {GO_MODULE} => {CLIENTS / 'go'}\n"
    (tmp_path / "go.mod").write_text(module, encoding="utf-8")
    (tmp_path / "example.go").write_text(example("go", "go", herald), encoding="utf-8")

    assert assert_passes(["go", "run", "."], tmp_path) == PRINTED.replace("\n", " <nil>\n")


def test_the_client_in_python_knows_every_field_of_an_answer(herald: Herald) -> None:
    schemas = herald.get("/docs/openapi.json")["components"]["schemas"]
    known = {"NotificationState": Notification, "MessageState": Message, "EventState": Event, "Accepted": Accepted}
    known |= {"AcceptedOfMany": AcceptedOfMany, "GroupState": Group}

    for name, kind in known.items():
        (schema,) = [one for key, one in schemas.items() if key.endswith(name) and "Bulk" not in key]
        assert {field.name for field in fields(kind)} == set(schema["properties"]), name


def example(client: str, language: str, herald: Herald) -> str:
    """The first of its README, against this Herald."""
    text = blocks(CLIENTS / client / "README.md", language)[0].text
    assert "http://localhost:8000" in text
    return text.replace("http://localhost:8000", str(herald.client.base_url).rstrip("/"))
