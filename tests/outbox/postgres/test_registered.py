"""What the functions of the database know of the processes: each notes it when it starts."""

from collections.abc import Iterator
from threading import Event
from typing import Any
from unittest.mock import patch

import pytest
from click.testing import CliRunner

from herald.outbox import registry
from herald.outbox.extensions import extend
from herald.outbox.operate.keys import command as keys_command
from herald.outbox.operate.migrate import command as migrate
from herald.outbox.operate.opening import person
from herald.outbox.operate.pause import pause_command
from herald.outbox.postgres.driver import Connection, errors
from herald.outbox.postgres.fitness import UnfitError
from herald.outbox.postgres.statements import fetch, fetch_column, fetch_one
from herald.outbox.registry import TOPICS, registered_channels, registered_topics
from herald.outbox.startup import wait_for_database
from tests.outbox.connections import connected, execute_and_commit, make_settings
from tests.outbox.extending import Install, install

__all__ = ["install"]

LIMITS = "SELECT max_body, max_bulk_body, max_ahead, idempotency_ttl FROM limits"


@pytest.fixture(autouse=True)
def names() -> Iterator[None]:
    """What is registered in one database is not known in the next."""
    with patch.dict(registry.ELSEWHERE):
        yield


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    with connected(database) as connection:
        connection.autocommit = True
        yield connection


def start(url: str, **settings: Any) -> None:
    wait_for_database(make_settings(url, **settings), Event())


def test_a_process_that_starts_notes_its_limits(database: str, connection: Connection) -> None:
    start(database, max_body=100_000, max_bulk_body=200_000, max_ahead=60.0, idempotency_ttl=120.0)

    assert fetch_one(connection, LIMITS) == (100_000, 200_000, 60.0, 120.0)


def test_what_others_know_stays(database: str, connection: Connection) -> None:
    execute_and_commit(connection, "INSERT INTO topics VALUES ('of_a_later_release')")
    execute_and_commit(connection, "DELETE FROM topics WHERE name = 'generic_topic'; DELETE FROM channels")

    start(database)

    assert set(fetch_column(connection, "SELECT name FROM topics")) == {*TOPICS, "of_a_later_release"}
    assert "webhook" in fetch_column(connection, "SELECT name FROM channels")


def test_a_process_knows_what_others_have_registered(database: str, connection: Connection) -> None:
    execute_and_commit(connection, "INSERT INTO topics VALUES ('orders'); INSERT INTO channels VALUES ('pager')")

    start(database)

    assert registered_topics() == ("notifications", "generic_topic", "orders")
    assert registered_channels() == ("log", "webhook", "email", "apprise", "pager")


def test_what_others_have_registered_can_be_paused(database: str, connection: Connection) -> None:
    execute_and_commit(connection, "INSERT INTO topics VALUES ('orders')")

    paused = CliRunner().invoke(pause_command, ["topic:orders"], env={"DATABASE_URL": database})

    assert (paused.exit_code, paused.stdout) == (0, "paused: topic:orders\n")
    assert fetch_column(connection, "SELECT actor FROM pauses") == [person()]


def test_a_key_may_be_for_what_others_have_registered_and_for_nothing_else(
    database: str, connection: Connection
) -> None:
    execute_and_commit(connection, "INSERT INTO topics VALUES ('orders')")
    create = ["create", "shop", "--scope", "send", "--topic", "orders"]
    env = {"DATABASE_URL": database, "COLUMNS": "200"}

    refused = CliRunner().invoke(keys_command, [*create, "--topic", "letters"], env=env)
    made = CliRunner().invoke(keys_command, create, env=env)

    assert (refused.exit_code, made.exit_code) == (2, 0)
    assert "no such topic: letters; there are: notifications, generic_topic, orders" in refused.output
    assert fetch_column(connection, "SELECT topics FROM api_keys") == [["orders"]]


def test_the_migration_registers_what_extensions_have(
    install: Install, database: str, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("herald.outbox.operate.migrate.configure_logs", lambda _role: None)  # of this whole process
    install("shop", topics={"orders": "shop_orders"}, channels={"pager": "shop_pager"})
    extend(())

    done = CliRunner().invoke(migrate, env={"DATABASE_URL": database})

    assert done.exit_code == 0, done.output
    assert "orders" in fetch_column(connection, "SELECT name FROM topics")
    assert "pager" in fetch_column(connection, "SELECT name FROM channels")


@pytest.mark.parametrize("name", ["", "of orders", "__orders", ".", "..", "o" * 250])
def test_no_topic_is_registered_that_kafka_could_not_have(connection: Connection, name: str) -> None:
    with pytest.raises(errors.CheckViolation, match="topics_have_names_that_kafka_takes"):
        execute_and_commit(connection, "INSERT INTO topics VALUES (%s)", name)


def test_a_start_that_changes_nothing_writes_nothing(database: str, connection: Connection) -> None:
    start(database)
    row = fetch(connection, "SELECT xmin::text, ctid::text FROM limits")

    start(database)

    assert fetch(connection, "SELECT xmin::text, ctid::text FROM limits") == row


def test_a_process_that_is_refused_notes_nothing(database: str, connection: Connection) -> None:
    start(database)
    before = fetch_one(connection, LIMITS)

    with pytest.raises(UnfitError):
        start(database, source="another", max_body=100_000)

    assert fetch_one(connection, LIMITS) == before
