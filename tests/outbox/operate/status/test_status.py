"""`herald status`, on real servers and without them."""

import json
import re
import signal
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from herald.outbox.moves.claim import Record, claim
from herald.outbox.moves.pauses import pause
from herald.outbox.moves.record import Outcome, record_outcomes
from herald.outbox.operate.shown import size
from herald.outbox.operate.status.command import command
from herald.outbox.operate.status.database import MESSAGES, MOST, SCANNED, Answer
from herald.outbox.operate.status.report import counted, oldest_unfinished
from herald.outbox.postgres.connections import read_clock
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch
from herald.outbox.registry import DEAD_LETTERS
from herald.outbox.scheduler.partitions import make_partitions
from herald.outbox.scheduler.retention import close_books
from tests.conftest import StartHerald
from tests.outbox.connections import accepted, connected, execute_and_commit, notification
from tests.servers.eventually import eventually
from tests.servers.herald import HeraldProcess
from tests.servers.postgres import PostgresServer

SHOWN = 90.0  # seconds
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
    assert "migration   00" in result.output
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

    assert f"{count} of each table, the oldest until 20" in shown
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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_watching_outlives_its_servers_and_ends_by_a_signal_with_0(
    start_herald: StartHerald, migrated_server: PostgresServer, number: signal.Signals
) -> None:
    servers = {"DATABASE_URL": migrated_server.url(), "KAFKA_BOOTSTRAP_SERVERS": NOBODY}
    watching = start_herald("status", "--watch", "--json", **servers)
    eventually(lambda: errors_of(watching)[0] is None and errors_of(watching)[1], SHOWN, what="no broker")

    migrated_server.stop()
    eventually(lambda: errors_of(watching)[0], SHOWN, what="it says that the database is away")
    migrated_server.start()
    eventually(lambda: errors_of(watching)[0] is None, SHOWN, what="it is back")

    assert watching.stop(number) == 0


def errors_of(watching: HeraldProcess) -> tuple[str | None, str | None]:
    """Of database and Kafka, in the last line."""
    lines = watching.output().splitlines()
    assert lines
    told = json.loads(lines[-1])
    return told["database"]["error"], told["kafka"]["error"]


def test_watching_without_a_terminal_appends_a_dated_block(
    start_herald: StartHerald, database: str, broker: str
) -> None:
    watching = start_herald("status", "--watch", DATABASE_URL=database, KAFKA_BOOTSTRAP_SERVERS=broker)

    eventually(lambda: watching.output().count("on PostgreSQL 18") > 1, SHOWN)

    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\ndatabase ", watching.output())
    assert watching.stop() == 0


def test_what_is_counted_ends_at_ten_thousand_and_says_so() -> None:
    assert [counted(number) for number in (3, MOST, MOST + 1)] == ["3", "10,000", "more than 10,000"]


@pytest.mark.parametrize("is_small", [True, False])
def test_counts_of_a_large_table_are_those_of_its_queues(database: str, *, is_small: bool) -> None:
    question = (
        MESSAGES if is_small else MESSAGES.replace(f"LIMIT {SCANNED + 1}", "LIMIT 11").replace(f"<= {SCANNED}", "<= 10")
    )
    with connected(database) as connection:
        found = statuses_of(connection, question)

    assert (found["dead"], found["pending"]) == (4, 4)
    assert found["sent"] in ({4} if is_small else {3, 4}), "of the first rows"


def statuses_of(connection: Connection, question: str) -> dict[str, int]:
    """Four messages of each of three kinds, counted."""
    sent, dead, _ = (accepted(connection, *(notification(f"{kind} {n}") for n in range(4))) for kind in "abc")
    claim(connection, [Record(one, 1) for one in (*sent, *dead)], lease=60)
    outcomes = [Outcome(id=one, attempt=1, outcome="sent") for one in sent]
    outcomes += [Outcome(id=one, attempt=1, outcome="dead", reason="no") for one in dead]
    record_outcomes(connection, outcomes, dead_letters=DEAD_LETTERS)
    return {status: count for status, count, _ in fetch(connection, question, {"unsent": ["dead", "unknown"]})}
