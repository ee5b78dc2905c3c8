"""What `herald doctor` says of Herald's tables."""

import pytest
from alembic import command as alembic
from alembic.script import ScriptDirectory

from herald.outbox.operate.migrate import make_config
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch
from tests.outbox.connections import accepted, execute_and_commit, notification
from tests.outbox.operate.doctor.findings import follow, look, look_once


@pytest.mark.parametrize("check", ["migrations", "positions", "indexes"])
def test_tables_as_they_should_be_are_ok(database: str, check: str) -> None:
    assert look_once(database, check).level == "ok"


def test_a_database_without_tables_is_a_problem(empty_database: str) -> None:
    found = look_once(empty_database, "migrations")

    assert (found.level, found.text, found.advice) == ("problem", "the tables are missing", "herald migrate")


def test_a_database_of_an_earlier_release_is_a_problem(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ScriptDirectory, "get_current_head", lambda _: "0002")

    found = look_once(database, "migrations")

    assert (found.level, found.advice) == ("problem", "herald migrate")
    assert found.text == "at 0001, this release needs 0002"


def test_a_database_that_was_downgraded_can_be_migrated_again(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database)
    alembic.downgrade(make_config(), "-1")

    found = look_once(database, "migrations")

    assert (found.level, found.advice) == ("problem", "herald migrate")
    alembic.upgrade(make_config(), "head")
    assert look_once(database, "migrations").level == "ok"


def test_a_database_of_a_later_release_is_a_warning(database: str, connection: Connection) -> None:
    execute_and_commit(connection, "UPDATE alembic_version SET version_num = '9999'")

    found = look_once(database, "migrations")

    assert (found.level, found.text[:8]) == ("warning", "at 9999,")


def test_a_sequence_below_what_is_stored_is_a_problem(database: str, connection: Connection) -> None:
    accepted(connection, *(notification() for _ in range(5)))
    execute_and_commit(connection, "SELECT setval('outbox_position', 2)")

    found = look_once(database, "positions")
    follow(database, found)

    assert (found.level, found.text[:58]) == ("problem", "the sequence has drawn 2, the highest position is 5: what ")
    assert look_once(database, "positions").level == "ok"
    accepted(connection, notification())
    assert fetch(connection, "SELECT max(position) FROM outbox") == [(6,)]


def test_a_sequence_below_the_cursor_is_a_problem(database: str, connection: Connection) -> None:
    execute_and_commit(
        connection,
        "INSERT INTO relay_cursor (name, previous, last_position, floor, epoch, system_identifier, timeline)"
        " VALUES ('relay', '1:1:', 0, 70, 0, '1', 1)",
    )

    found = look_once(database, "positions")
    follow(database, found)

    assert (found.level, "the highest position is 70" in found.text) == ("problem", True)
    assert look_once(database, "positions").level == "ok"


@pytest.mark.parametrize(
    ("hours", "level", "said"),
    [
        (-1, "problem", "{} has no partition for the present: accepting fails"),
        (167, "warning", "{} has partitions for 7.0 d only: then accepting fails"),
        (169, "ok", "{} has partitions until "),
    ],
)
@pytest.mark.parametrize("parent", ["outbox", "messages"])
def test_partitions_that_run_out_are_found(
    database: str, connection: Connection, parent: str, hours: int, level: str, said: str
) -> None:
    _reach(connection, parent, hours)

    (found,) = [one for one in look(database, "partitions") if one.text.startswith(parent)]

    assert (found.level, found.text[: len(said.format(parent))]) == (level, said.format(parent))
    if level != "ok":
        follow(database, found)
        assert [one.level for one in look(database, "partitions")] == ["ok", "ok"]
        accepted(connection, notification())


def _reach(connection: Connection, parent: str, hours: int) -> None:
    """One partition, from the beginning to so many hours from now."""
    names = [str(name) for (name,) in fetch(connection, "SELECT name FROM partitions WHERE parent = %s", parent)]
    for name in names:
        execute_and_commit(connection, f"ALTER TABLE {parent} DETACH PARTITION {name}")
    for name in names[1:]:
        execute_and_commit(connection, f"DROP TABLE {name}")
    end = f"clock_timestamp() + make_interval(hours => {hours}, mins => 1)"
    ((bound,),) = fetch(connection, f"SELECT outbox_first_id({end})::text")
    execute_and_commit(
        connection, f"ALTER TABLE {parent} ATTACH PARTITION {names[0]} FOR VALUES FROM (MINVALUE) TO ('{bound}')"
    )


def test_a_parent_without_any_partition_is_a_problem(database: str, connection: Connection) -> None:
    for (name,) in fetch(connection, "SELECT name FROM partitions WHERE parent = 'messages'"):
        execute_and_commit(connection, f"DROP TABLE {name}")

    first, second = look(database, "partitions")

    assert (first.level, second.level) == ("problem", "ok")
    assert first.text.startswith("messages has no partition")


def test_old_data_that_cannot_leave_is_a_warning(database: str, connection: Connection) -> None:
    assert look_once(database, "due partitions").level == "ok"
    execute_and_commit(connection, "UPDATE closing SET waits_for = 'a lock that somebody holds'")

    found = look_once(database, "due partitions")

    assert (found.level, found.text) == ("warning", "old data cannot leave: it waits for a lock that somebody holds")


def test_an_index_that_was_not_finished_is_a_warning(database: str, connection: Connection) -> None:
    ((name,),) = fetch(connection, "SELECT min(indexname) FROM pg_indexes WHERE tablename LIKE 'messages_y%%'")
    execute_and_commit(connection, "UPDATE pg_index SET indisvalid = false WHERE indexrelid = %s::regclass", name)

    found = look_once(database, "indexes")
    follow(database, found)

    assert (found.level, found.text.startswith(f"{name} on messages_y")) == ("warning", True)
    assert look_once(database, "indexes").level == "ok"


def test_an_index_of_a_parent_without_those_of_its_partitions_is_a_warning(
    database: str, connection: Connection
) -> None:
    execute_and_commit(connection, "CREATE INDEX half_made ON ONLY messages (updated_at)")

    found = look_once(database, "indexes")
    follow(database, found)

    assert (found.level, found.text.startswith("half_made on messages is invalid")) == ("warning", True)
    assert look_once(database, "indexes").level == "ok"


def test_the_log_is_guarded(database: str) -> None:
    assert [one.level for one in look(database, "append-only")] == ["ok", "ok"]


def test_a_guard_that_is_off_is_a_problem(database: str, connection: Connection) -> None:
    execute_and_commit(connection, "ALTER TABLE outbox DISABLE TRIGGER outbox_is_not_truncated")

    on, off = look(database, "append-only")
    follow(database, off)

    assert (on.level, off.level) == ("ok", "problem")
    assert [one.level for one in look(database, "append-only")] == ["ok", "ok"]


def test_a_guard_that_is_missing_is_a_problem(database: str, connection: Connection) -> None:
    execute_and_commit(connection, "DROP TRIGGER outbox_is_append_only ON outbox")

    missing, there = look(database, "append-only")

    assert (missing.level, there.level) == ("problem", "ok")
    assert "is missing" in missing.text
