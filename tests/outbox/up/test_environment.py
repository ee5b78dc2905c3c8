"""What the next terminal is told."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from herald.outbox.settings import load_settings
from herald.outbox.up import broker
from herald.outbox.up.environment import (
    Given,
    child_environment,
    is_open,
    libpq_variables,
    shell_file,
    write_private,
)

SERVERS = {
    "DATABASE_URL": "postgresql://postgres@/herald?host=/a/b&port=5432",
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
}


def sourced(text: str, folder: Path, show: str) -> str:
    """Let a shell read the file and print one value."""
    file = folder / "env"
    file.write_text(text)
    command = ["/bin/sh", "-c", f'. "{file}"; printf %s "{show}"']
    return subprocess.run(command, env={"PATH": "/bin:/usr/bin"}, capture_output=True, text=True, check=True).stdout


def test_a_shell_that_sources_the_file_reaches_the_same_servers(tmp_path: Path) -> None:
    text = shell_file(SERVERS, None, own={})

    shown = sourced(text, tmp_path, "$DATABASE_URL $KAFKA_BOOTSTRAP_SERVERS $PGHOST $PGPORT $PGUSER $PGDATABASE")

    assert shown == f"{SERVERS['DATABASE_URL']} 127.0.0.1:1 /a/b 5432 postgres herald"


@pytest.mark.parametrize("hostile", ["a'b", 'a"b', "$(touch x)", "a b;c", "`x`", "a\nb"])
def test_a_value_stays_a_value_in_the_shell(hostile: str, tmp_path: Path) -> None:
    text = shell_file({**SERVERS, "HERALD_GROUP": hostile}, None, own={})

    assert sourced(text, tmp_path, "$HERALD_GROUP") == hostile


def test_the_shell_finds_herald_first(tmp_path: Path) -> None:
    twice = shell_file(SERVERS, None, own={}) * 2

    first = sourced(twice, tmp_path, "$PATH").split(":")

    assert (Path(first[0]) / "herald").exists()
    assert len(first) == len(set(first))


def test_settings_of_a_secured_kafka_reach_the_next_terminal(tmp_path: Path) -> None:
    text = shell_file(SERVERS, None, own={"KAFKA_SASL_PASSWORD": "x y", "HOME": "/somewhere"})

    assert sourced(text, tmp_path, "$KAFKA_SASL_PASSWORD$HOME") == "x y"


def test_the_wheels_psql_is_only_for_those_who_have_none(tmp_path: Path) -> None:
    text = shell_file(SERVERS, tmp_path / "programs", own={})

    assert "command -v psql >/dev/null 2>&1 ||" in text


def test_nobody_else_reads_the_file(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("old")
    file.chmod(0o644)

    write_private(file, "secret")

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text() == "secret"


def test_libpq_variables_follow_a_url_over_tcp() -> None:
    found = libpq_variables("postgresql://ada:p%40ss@db.example:6543/herald?sslmode=require")

    assert found == {
        "PGHOST": "db.example",
        "PGPORT": "6543",
        "PGUSER": "ada",
        "PGPASSWORD": "p@ss",
        "PGDATABASE": "herald",
        "PGSSLMODE": "require",
    }


def test_another_terminal_gets_a_url_without_a_driver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", "postgresql+psycopg2://a@b/c")

    assert load_settings(Given).database_url == "postgresql://a@b/c"


def test_each_server_may_be_given_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    (tmp_path / ".env").write_text("KAFKA_BOOTSTRAP_SERVERS=kafka:9092\nDATABASE_URL=\n")

    given = load_settings(Given)

    assert (given.database_url, given.kafka_bootstrap_servers) == ("", "kafka:9092")


def test_children_log_what_can_be_read_by_a_program() -> None:
    env = child_environment(SERVERS, own={"HERALD_LOG_FORMAT": "console", "HOME": "/somewhere"})

    assert env["HERALD_LOG_FORMAT"] == "json"
    assert env["HOME"] == "/somewhere"
    assert os.environ.get("KAFKA_BOOTSTRAP_SERVERS") != SERVERS["KAFKA_BOOTSTRAP_SERVERS"]


def test_the_broker_sends_no_metrics_of_its_own_to_the_collector(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318")

    env = broker.role(9092, tmp_path).env

    assert env is not None
    assert "PATH" in env
    assert not [name for name in env if name.startswith("OTEL_")]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, True),
        ({"HERALD_HOST": "::1", "HERALD_OPEN": ""}, True),
        ({"HERALD_OPEN": "no"}, False),
        ({"HERALD_HOST": "192.0.2.7"}, False),
        ({"DATABASE_URL": SERVERS["DATABASE_URL"]}, False),
        ({"DATABASE_URL": SERVERS["DATABASE_URL"], "HERALD_HOST": "192.0.2.7", "HERALD_OPEN": "yes"}, True),
    ],
)
def test_an_api_of_this_machine_alone_needs_no_key(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: dict[str, str], *, expected: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("DATABASE_URL", "HERALD_HOST", "HERALD_OPEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in said.items():
        monkeypatch.setenv(name, value)

    assert is_open(load_settings(Given)) == expected
