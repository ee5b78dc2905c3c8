"""`herald status`, on real servers and without them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from confluent_kafka.admin import AdminClient, NewTopic

from outbox.pauses import pause
from outbox.status import command
from outbox.status.database import Answer
from outbox.status.report import duration, oldest_unfinished
from tests.outbox.connections import connected, execute

NOBODY = "127.0.0.1:1"  # a port without a listener

Ask = Callable[..., Result]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Ask:
    """Run the command against these servers, far from any `.env`."""
    monkeypatch.chdir(tmp_path)

    def run(database: str, kafka: str, *arguments: str) -> Result:
        settings = {"DATABASE_URL": database, "KAFKA_BOOTSTRAP_SERVERS": kafka, "COLUMNS": "200"}
        return CliRunner().invoke(command, arguments, env=settings)

    return run


def test_a_migrated_empty_system_is_shown_whole(ask: Ask, database: str, broker: str) -> None:
    result = ask(database, broker)

    assert result.exit_code == 0, result.output
    assert "on PostgreSQL 18" in result.output
    assert "migration  00" in result.output
    assert "has not run yet" in result.output
    assert "1 broker(s)" in result.output


def test_topics_and_lag_are_in_the_machine_form(ask: Ask, database: str, broker: str) -> None:
    admin = AdminClient({"bootstrap.servers": broker})
    admin.create_topics([NewTopic("notifications", 4, 1)])["notifications"].result(10)

    answer = json.loads(ask(database, broker, "--json").output)

    assert answer["kafka"]["topics"] == {"notifications": {"partitions": 4, "records": 0, "lag": 0}}
    assert answer["messages"]["by_status"] == {}
    assert answer["database"]["error"] is None


def test_what_is_paused_and_what_keeps_failing_is_shown(ask: Ask, database: str, broker: str) -> None:
    with connected(database) as connection:
        pause(connection, "channel:email", reason="the mail server moves")
        execute(
            connection,
            "INSERT INTO breakers (destination, failures, reason, opened_at, probe_at) VALUES"
            " ('webhook:hooks.example.com', 9, 'HTTP 503', clock_timestamp(), clock_timestamp() + interval '1 day'),"
            " ('webhook:fine.example.com', 1, 'HTTP 503', NULL, NULL)",
        )

    shown, answer = ask(database, broker).output, json.loads(ask(database, broker, "--json").output)

    assert "channel:email: the mail server moves" in shown
    assert "webhook:hooks.example.com: HTTP 503; tried again in 24.0 h" in shown
    assert "fine.example.com" not in shown
    assert [(one["scope"], one["reason"]) for one in answer["pauses"]["items"]] == [
        ("channel:email", "the mail server moves")
    ]
    (breaker,) = answer["open_breakers"]["items"]
    assert (breaker["destination"], breaker["reason"]) == ("webhook:hooks.example.com", "HTTP 503")
    assert breaker["opened_at"] < breaker["probe_at"]


def test_a_database_without_tables_says_so_part_by_part(ask: Ask, empty_database: str, broker: str) -> None:
    result = ask(empty_database, broker)

    assert result.exit_code == 0
    for table in ("messages", "pauses", "breakers"):
        assert f'relation "{table}" does not exist' in result.output
    assert "1 broker(s)" in result.output


def test_a_kafka_that_is_away_does_not_hide_the_database(ask: Ask, database: str) -> None:
    result = ask(database, NOBODY)

    assert result.exit_code == 1
    assert "on PostgreSQL 18" in result.output
    assert "Broker transport failure" in result.output


def test_a_database_that_is_away_does_not_hide_kafka(ask: Ask, broker: str) -> None:
    result = ask("postgresql://postgres@127.0.0.1:1/herald", broker)

    assert result.exit_code == 1
    assert "Connection refused" in result.output
    assert "1 broker(s)" in result.output


def test_what_is_finished_does_not_count_as_waiting() -> None:
    rows = [{"status": "sent", "oldest_seconds": 900.0}, {"status": "failed", "oldest_seconds": 30.0}]

    assert oldest_unfinished(Answer(rows)) == 30.0
    assert oldest_unfinished(Answer(rows[:1])) is None


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.42, "0.4 s"), (75, "75 s"), (600, "10 min"), (9000, "2.5 h"), (345_600, "4.0 d")]
)
def test_a_duration_is_shown_in_the_unit_that_fits(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown
