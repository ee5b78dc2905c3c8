"""What `herald doctor` says of Herald's tables."""

from collections.abc import Iterator

import pytest
from alembic import command as alembic
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class with a lower-case name

from outbox.migrate import make_config
from tests.doctor.findings import follow, look, look_once
from tests.outbox.connections import accepted, connected, execute, fetch, notification


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    with connected(database) as connection:
        yield connection


@pytest.mark.parametrize("check", ["migrations", "positions", "partitions", "indexes"])
def test_tables_as_they_should_be_are_ok(database: str, check: str) -> None:
    assert look_once(database, check).level == "ok"


def test_a_database_without_tables_is_a_problem(empty_database: str) -> None:
    found = look_once(empty_database, "migrations")

    assert (found.level, found.text, found.advice) == ("problem", "the tables are missing", "herald migrate")


def test_a_database_of_an_earlier_release_is_a_problem(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database)
    alembic.downgrade(make_config(), "-1")

    found = look_once(database, "migrations")

    assert (found.level, found.advice) == ("problem", "herald migrate")
    alembic.upgrade(make_config(), "head")
    assert look_once(database, "migrations").level == "ok"


def test_a_database_of_a_later_release_is_a_warning(database: str, connection: Connection) -> None:
    execute(connection, "UPDATE alembic_version SET version_num = '9999'")

    found = look_once(database, "migrations")

    assert (found.level, found.text[:8]) == ("warning", "at 9999,")


def test_a_sequence_below_what_is_stored_is_a_problem(database: str, connection: Connection) -> None:
    accepted(connection, *(notification() for _ in range(5)))
    execute(connection, "SELECT setval('outbox_position', 2)")

    found = look_once(database, "positions")
    follow(database, found)

    assert (found.level, found.text[:58]) == ("problem", "the sequence has drawn 2, the highest position is 5: what ")
    assert look_once(database, "positions").level == "ok"
    accepted(connection, notification())
    assert fetch(connection, "SELECT max(position) FROM outbox") == [(6,)]


def test_a_sequence_below_the_cursor_is_a_problem(database: str, connection: Connection) -> None:
    execute(
        connection,
        "INSERT INTO relay_cursor (name, previous, last_position, floor, epoch, system_identifier, timeline)"
        " VALUES ('relay', '1:1:', 0, 70, 0, '1', 1)",
    )

    found = look_once(database, "positions")
    follow(database, found)

    assert (found.level, "the highest position is 70" in found.text) == ("problem", True)
    assert look_once(database, "positions").level == "ok"


@pytest.mark.parametrize(("months", "level"), [(0, "problem"), (1, "warning")])
@pytest.mark.parametrize("parent", ["outbox", "messages"])
def test_a_partition_that_is_missing_is_found(
    database: str, connection: Connection, parent: str, months: int, level: str
) -> None:
    month = "to_char((clock_timestamp() + make_interval(months => %s)) AT TIME ZONE 'UTC', 'YYYY\"m\"MM')"
    ((name,),) = fetch(connection, f"SELECT %s || '_y' || {month}", parent, months)
    execute(connection, f"ALTER TABLE {parent} DETACH PARTITION {name}")
    execute(connection, f"DROP TABLE {name}")

    found = look_once(database, "partitions")
    follow(database, found)

    assert (found.level, found.text.startswith(f"{parent} has no partition for ")) == (level, True)
    assert look_once(database, "partitions").level == "ok"


def test_an_index_that_was_not_finished_is_a_warning(database: str, connection: Connection) -> None:
    ((name,),) = fetch(connection, "SELECT min(indexname) FROM pg_indexes WHERE tablename LIKE 'messages_y%%'")
    execute(connection, "UPDATE pg_index SET indisvalid = false WHERE indexrelid = %s::regclass", name)

    found = look_once(database, "indexes")
    follow(database, found)

    assert (found.level, found.text.startswith(f"{name} on messages_y")) == ("warning", True)
    assert look_once(database, "indexes").level == "ok"


def test_an_index_of_a_parent_without_those_of_its_partitions_is_a_warning(
    database: str, connection: Connection
) -> None:
    execute(connection, "CREATE INDEX unfinished ON ONLY messages (updated_at)")

    found = look_once(database, "indexes")
    follow(database, found)

    assert (found.level, found.text.startswith("unfinished on messages is invalid")) == ("warning", True)
    assert look_once(database, "indexes").level == "ok"


def test_the_log_is_guarded(database: str) -> None:
    assert [one.level for one in look(database, "append-only")] == ["ok", "ok"]


def test_a_guard_that_is_off_is_a_problem(database: str, connection: Connection) -> None:
    execute(connection, "ALTER TABLE outbox DISABLE TRIGGER outbox_is_not_truncated")

    on, off = look(database, "append-only")
    follow(database, off)

    assert (on.level, off.level) == ("ok", "problem")
    assert [one.level for one in look(database, "append-only")] == ["ok", "ok"]


def test_a_guard_that_is_missing_is_a_problem(database: str, connection: Connection) -> None:
    execute(connection, "DROP TRIGGER outbox_is_append_only ON outbox")

    missing, there = look(database, "append-only")

    assert (missing.level, there.level) == ("problem", "ok")
    assert "is missing" in missing.text
