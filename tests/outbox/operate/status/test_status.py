"""`herald status`, on real servers and without them."""

import json
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from herald.outbox.moves.pauses import pause
from herald.outbox.operate.shown import size
from herald.outbox.operate.status.database import Answer
from herald.outbox.operate.status.report import command, oldest_unfinished
from herald.outbox.postgres.connections import read_clock
from herald.outbox.postgres.statements import fetch
from herald.outbox.scheduler.partitions import make_partitions
from herald.outbox.scheduler.retention import close_books
from tests.outbox.connections import connected, execute_and_commit

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


def test_an_owner_that_may_not_be_read_takes_nothing_else_along(
    ask: Ask, database: str, broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: object) -> None:
        raise KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))

    monkeypatch.setattr("herald.outbox.operate.status.kafka.find_owner", forbidden)

    shown, answer = ask(database, broker), json.loads(ask(database, broker, "--json").output)

    assert shown.exit_code == 0
    assert "1 broker(s)" in shown.output
    assert "whose topics these are is not known: Broker: Topic authorization failed" in shown.output
    assert answer["kafka"]["brokers"] == 1
    assert answer["kafka"]["owner"] is None
    assert answer["kafka"]["owner_error"] == "Broker: Topic authorization failed"


def test_what_is_paused_and_what_keeps_failing_is_shown(ask: Ask, database: str, broker: str) -> None:
    with connected(database) as connection:
        pause(connection, "channel:email", reason="the mail server moves", actor="cli:ada")
        pause(connection, "all")
        execute_and_commit(
            connection,
            "INSERT INTO breakers (destination, failures, reason, opened_at, probe_at) VALUES"
            " ('webhook:hooks.example.com', 9, 'HTTP 503', clock_timestamp(), clock_timestamp() + interval '1 day'),"
            " ('webhook:fine.example.com', 1, 'HTTP 503', NULL, NULL)",
        )

    shown, answer = ask(database, broker).output, json.loads(ask(database, broker, "--json").output)

    assert re.search(r"channel:email since \d{4}(-\d\d){2} \S{8}, by cli:ada: the mail server moves *\n", shown)
    assert re.search(r"all since .*, by nobody known *\n", shown)
    assert "webhook:hooks.example.com: HTTP 503; tried again in 24.0 h" in shown
    assert "fine.example.com" not in shown
    assert [(one["scope"], one["reason"], one["actor"]) for one in answer["pauses"]["items"]] == [
        ("channel:email", "the mail server moves", "cli:ada"),
        ("all", None, None),
    ]
    (breaker,) = answer["open_breakers"]["items"]
    assert (breaker["destination"], breaker["reason"]) == ("webhook:hooks.example.com", "HTTP 503")
    assert breaker["opened_at"] < breaker["probe_at"]


def test_partitions_and_their_sizes_are_shown(ask: Ask, database: str, broker: str) -> None:
    with connected(database) as connection:
        ((count, log, state),) = fetch(
            connection,
            "SELECT count(*) FILTER (WHERE parent = 'outbox'),"
            " sum(pg_total_relation_size(name::regclass)) FILTER (WHERE parent = 'outbox'),"
            " sum(pg_total_relation_size(name::regclass)) FILTER (WHERE parent = 'messages') FROM partitions",
        )

    shown, answer = ask(database, broker).output, json.loads(ask(database, broker, "--json").output)

    assert f"{count} partitions each, the oldest until 20" in shown
    assert f"outbox {size(log)}, messages {size(state)}" in shown
    found = answer["partitions"]
    assert (found["count"], found["outbox_bytes"], found["messages_bytes"]) == (count, log, state)
    assert (found["due"], found["error"]) == (0, None)


def test_a_partition_that_is_due_is_shown_with_what_it_waits_for(
    ask: Ask, database: str, broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HERALD_RETENTION", "86400")
    with connected(database) as connection:
        connection.autocommit = True
        then = read_clock(connection) - timedelta(days=2)
        make_partitions(connection, retention=86_400.0, at=then)
        close_books(connection, retention=86_400.0, at=then + timedelta(days=2))

    shown, answer = ask(database, broker).output, json.loads(ask(database, broker, "--json").output)

    found = answer["partitions"]
    assert found["due"] > 0
    assert found["waits_for"] == "what the relay has not published yet"
    assert f"; {found['due']} due, waits for what the relay has not published yet" in shown


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
