"""`herald doctor`, as a person and a program run it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from herald.outbox.operate.doctor.command import command
from herald.outbox.postgres.statements import fetch
from tests.outbox.connections import connected
from tests.outbox.operate.doctor.findings import NO_DATABASE, NOBODY

Ask = Callable[..., Result]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Ask:
    """Run the command with these settings, far from any `.env`."""
    monkeypatch.chdir(tmp_path)

    def run(database: str, kafka: str, *arguments: str, **settings: str) -> Result:
        servers = {"DATABASE_URL": database, "KAFKA_BOOTSTRAP_SERVERS": kafka, "COLUMNS": "200"}
        return CliRunner().invoke(command, arguments, env={**servers, **settings})

    return run


def test_findings_are_printed_with_what_to_do(ask: Ask, database: str, broker: str) -> None:
    result = ask(database, broker, HERALD_LEESE="3")

    assert result.exit_code == 1, result.output
    lines = result.output.splitlines()
    place = next(number for number, line in enumerate(lines) if "HERALD_LEESE is set, and nothing reads it" in line)
    assert lines[place].split()[:2] == ["warning", "names"]
    assert lines[place + 1].strip() == "→ Did you mean HERALD_LEASE?"
    assert "ok" in lines[-1]


def test_a_program_gets_the_same(ask: Ask, database: str, broker: str) -> None:
    result = ask(database, broker, "--json")

    answer = json.loads(result.output)
    assert {
        "family": "database",
        "check": "primary",
        "level": "ok",
        "text": "a primary that takes writes",
        "advice": None,
    } in (answer["findings"])
    levels = [finding["level"] for finding in answer["findings"]]
    assert answer["counts"] == {level: levels.count(level) for level in ("problem", "warning", "note", "ok")}
    assert all(finding["advice"] for finding in answer["findings"] if finding["level"] in {"warning", "problem"})


def test_a_database_that_is_away_is_a_finding_and_hides_nothing(ask: Ask, broker: str) -> None:
    result = ask(NO_DATABASE, broker, "--json")

    findings = json.loads(result.output)["findings"]
    (first,) = [finding for finding in findings if finding["family"] == "database"]
    assert result.exit_code == 1
    assert (first["check"], first["level"]) == ("connection", "problem")
    assert first["text"].startswith("the database does not answer: ")
    assert "Connection refused" in first["text"]
    assert any(finding["family"] == "kafka" and finding["level"] == "ok" for finding in findings)
    assert any(finding["family"] == "settings" for finding in findings)


def test_a_kafka_that_is_away_is_a_finding_and_hides_nothing(ask: Ask, database: str) -> None:
    result = ask(database, NOBODY, "--json")

    findings = json.loads(result.output)["findings"]
    (brokers,) = [finding for finding in findings if finding["family"] == "kafka"]
    assert result.exit_code == 1
    assert (brokers["check"], brokers["level"]) == ("brokers", "problem")
    assert brokers["text"].startswith(f"Kafka at {NOBODY} does not answer: ")
    assert {"database", "tables", "relay", "locks", "sizes", "settings"} <= {finding["family"] for finding in findings}


def test_wrong_settings_end_it_at_once(ask: Ask, database: str, broker: str) -> None:
    result = ask(database, broker, HERALD_LEASE="never")

    assert result.exit_code == 2
    assert "HERALD_LEASE" in result.output


def test_a_database_without_tables_is_looked_at_as_far_as_it_goes(ask: Ask, empty_database: str, broker: str) -> None:
    findings = json.loads(ask(empty_database, broker, "--json").output)["findings"]

    by_family = {finding["family"] for finding in findings}
    assert by_family == {"database", "kafka", "settings"}
    assert any(finding["text"] == "the tables are missing" for finding in findings)


def test_patience_says_what_is_old(ask: Ask, database: str, broker: str) -> None:
    with connected(database) as connection:
        fetch(connection, "SELECT count(*) FROM messages")
        patient, impatient = (ask(database, broker, "--patience", seconds).output for seconds in ("600", "0"))
        pid = connection.info.backend_pid

    assert "none open for 10 min" in patient
    assert f"pid {pid} (test, postgres, idle in transaction)" in impatient
