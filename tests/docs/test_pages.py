"""Links lead somewhere, tables agree with the code."""

import ast
import re
import subprocess
import tomllib
from functools import cache
from itertools import chain
from pathlib import Path
from typing import get_args

import click
import pytest
from alembic.config import CommandLine
from click.testing import CliRunner
from pydantic_core import PydanticUndefined

from herald.outbox.cli import ORDER
from herald.outbox.cli import main as herald
from herald.outbox.logs import LogSettings
from herald.outbox.message.events import Code
from herald.outbox.operate.doctor import command
from herald.outbox.operate.status import report
from herald.outbox.settings import Settings, variable
from herald.outbox.watched import api, pipeline, relay
from herald.outbox.watched.traces import TraceSettings
from tests.docs.pages import PAGES, ROOT, anchors, blocks, links, prose, rows, section

README = ROOT / "README.md"
OPERATING = ROOT / "docs" / "operating.md"
BY_CIRCUMSTANCE = {
    "HERALD_LOG_FORMAT": "`console` on a terminal, else `json`",
    "HERALD_GROUP": "none",
    "HERALD_TOPIC_PREFIX": "none",
}
NONE = "\N{EN DASH}"
_TEST = re.compile(r"\[(test_\w+)\]\(([\w/]+\.py)\)")
_SPAN = re.compile(r"`([^`]+)`")
_EVENT = re.compile(r"`(\w+)`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = [link for link in links(page) if not link.startswith("https://") and not leads_somewhere(page, link)]

    assert broken == []


def leads_somewhere(page: Path, link: str) -> bool:
    name, _, anchor = link.partition("#")
    target = (page.parent / name).resolve() if name else page
    return target.exists() and (not anchor or anchor in anchors(target))


def test_every_page_is_linked_from_the_readme_or_a_page_of_it() -> None:
    linked = {(page.parent / link.partition("#")[0]).resolve() for page in PAGES for link in links(page)}

    assert [page.name for page in PAGES if page != README and page not in linked] == []


def test_the_settings_table_lists_every_setting_with_its_default() -> None:
    listed = {name.strip("`"): default for name, default, _ in rows(section(README, "Settings"))}

    traces = {f"OTEL_{name.upper()}": shown(field.default) for name, field in TraceSettings.model_fields.items()}
    assert listed == {**documented(Settings), **documented(LogSettings), **BY_CIRCUMSTANCE, **traces}


def documented(settings: type[Settings] | type[LogSettings]) -> dict[str, str]:
    return {variable(name): shown(field.default) for name, field in settings.model_fields.items()}


def shown(default: object) -> str:
    if default is PydanticUndefined:
        return "required"
    if default is None:
        return "none"
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


def test_every_guarantee_names_tests_that_exist() -> None:
    guarantees = rows(section(README, "Guarantees"))

    assert len(guarantees) > 10
    for promise, _, tests in guarantees:
        named = _TEST.findall(tests)
        assert named, promise
        for test, path in named:
            assert test in functions(ROOT / path), f"{promise}: {path} has no {test}"


@cache  # of one file, many are named
def functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    required = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]

    explained = {name for row in rows(section(README, "Dependencies")) for name in row[0].split(", ")}

    assert {re.split(r"[\[<>=]", one)[0] for one in required} == explained


def test_every_log_event_that_is_explained_is_written() -> None:
    table = section(OPERATING, "What to watch").split("### Logs")[1]
    code = "".join(path.read_text() for name in ("api", "outbox", "pipeline") for path in (ROOT / name).rglob("*.py"))

    explained = [event for row in rows(table) for event in _EVENT.findall(row[0])]

    assert [event for event in explained if f'"{event}"' not in code] == []


def test_the_table_of_metrics_is_the_lists_in_the_code() -> None:
    listed = [
        (f"`{one.name}`", process, one.kind, ", ".join(f"`{label}`" for label in one.labels) or NONE, one.meaning)
        for process, metrics in (("api", api.METRICS), ("relay", relay.METRICS), ("pipeline", pipeline.METRICS))
        for one in metrics.listed
    ]
    table = section(OPERATING, "What to watch").split("### Metrics")[1].split("### Alerts")[0]

    assert [tuple(row) for row in rows(table)] == listed


def test_each_thing_has_the_name_that_the_table_of_words_gives_it() -> None:
    table = section(OPERATING, "What to watch").split("where it is told:")[1].split("### Metrics")[0]
    audits = {name for row in rows(section(OPERATING, "The audit")) for name in re.findall(r"`([\w-]+)`", row[0])}
    metrics = {one.name for one in (*relay.METRICS.listed, *pipeline.METRICS.listed)}
    checks = {name for family in (*command.TABLES.values(), command.KAFKA) for name in family}
    shown_by_status = {label for label, _ in (*report.ONE.values(), *report.SEVERAL.values())}

    for thing, status, in_json, metric, doctor, audit in rows(table):
        assert set(re.findall(r"`(.+?)`", metric)) <= metrics, thing
        assert set(re.findall(r"`(.+?)`", audit)) <= audits, thing
        assert doctor == NONE or set(doctor.split(", ")) <= checks, thing
        key = in_json.strip("`").partition(".")[0]
        assert in_json == NONE or key in {*report.ONE, *report.SEVERAL, "kafka"}, thing
        assert key not in report.SEVERAL or status in shown_by_status, thing


def test_the_recorded_trace_has_every_span_of_the_table() -> None:
    table = section(OPERATING, "What to watch").split("### Traces")[1].split("### Logs")[0]
    recorded = OPERATING.read_text(encoding="utf-8").split("<!-- trace: ")[1].split("<!-- /trace -->")[0]
    said = {"TOPIC": "notifications", "CHANNEL": "webhook"}

    spans = [_SPAN.findall(row[0])[0] for row in rows(table)]

    names = [re.sub("TOPIC|CHANNEL", lambda word: said[word[0]], span) for span in spans]
    assert len(names) == 5
    assert [name for name in names if f" {name}  " not in recorded] == []


def test_the_table_of_commands_lists_what_there_is() -> None:
    listed = {name for row in rows(section(README, "Processes")) for name in re.findall(r"`herald (\S+)`", row[0])}

    assert listed == set(herald.list_commands(click.Context(herald))) == set(ORDER)


def test_every_code_of_a_reason_is_explained() -> None:
    table = section(ROOT / "docs/api.md", "Reasons")

    assert [code.strip("`") for code, _ in rows(table)] == list(get_args(Code))


def test_the_license_is_the_apache_license_whole() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")

    assert text.split()[:5] == ["Apache", "License", "Version", "2.0,", "January"]
    assert "END OF TERMS AND CONDITIONS" in text
    assert text.rstrip().endswith("limitations under the License.")


def test_make_does_what_the_readme_says() -> None:
    assert ".venv/bin/herald up --demo 100" in expanded("run")
    for check in ("ruff check .", "ruff format --check .", "mypy", "lint-imports", "pytest"):
        assert f".venv/bin/{check}" in expanded("test")


@pytest.mark.parametrize(
    "command",
    [command for page in PAGES for block in blocks(page, "sh") if block.why for command in block.commands],
)
def test_a_command_that_is_not_run_at_least_exists(command: str) -> None:
    program, *arguments = command.split()
    if program == "make":
        assert expanded(arguments[0])
    elif program == "herald":
        names = [argument for argument in arguments if not argument.startswith("-")]
        subcommand = names[:2] if names[0] in {"dead-letters", "set-aside"} else names[:1]
        options = [argument for argument in arguments if argument.startswith("-")]
        shown = CliRunner().invoke(herald, [*subcommand, "--help"])
        assert (shown.exit_code, [option for option in options if option not in shown.output]) == (0, [])
    elif program == "alembic":
        assert CommandLine().parser.parse_args(arguments).cmd
    else:
        assert program in {"docker", "export", ".venv/bin/python"}, "say how to check it"


@cache  # it looks for a Python each time
def expanded(target: str) -> str:
    return subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_the_settings_of_a_secured_kafka_are_accepted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (secured,) = [block for block in blocks(OPERATING, "sh") if "KAFKA_SASL_USERNAME" in block.text]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", "postgresql://herald@localhost/herald")
    for line in secured.commands:
        monkeypatch.setenv(*line.removeprefix("export ").split("=", 1))

    settings = Settings()

    assert settings.kafka_security_protocol == "sasl_ssl"
    assert settings.replication_factor == 3


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_says_nothing_of_the_machine_it_was_written_on(page: Path) -> None:
    assert not re.search(r"(?<!\w)/(?:root|home|work|tmp)/", prose(page))
