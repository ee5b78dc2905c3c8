"""`herald rebuild`: what it finds, repairs and leaves as it was."""

import json
from typing import Any
from uuid import UUID

import pytest
from click.testing import CliRunner

from herald.outbox.operate.rebuild import session as sessions
from herald.outbox.operate.rebuild.command import command
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.locks import BOOKS, KEYS
from herald.outbox.postgres.statements import fetch
from tests.migrations.test_migrations import run_alembic
from tests.outbox.connections import accepted, assert_projection_equals_log, execute_and_commit, notification
from tests.outbox.operate.rebuild.conftest import Rebuild

EVERYTHING = """
SELECT c.oid::regclass::text, pg_get_indexdef(c.oid), NULL::text, c.relkind::text, c.relispartition
FROM pg_class AS c WHERE c.relname ~ '^(messages|outbox)' AND c.relkind <> 't'
UNION ALL
SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), contype::text, convalidated AND conislocal
FROM pg_constraint WHERE conrelid::regclass::text ~ '^messages'
UNION ALL
SELECT attrelid::regclass::text, attname, format_type(atttypid, atttypmod), attnum::text, attnotnull AND attislocal
FROM pg_attribute WHERE attrelid::regclass::text ~ '^messages' AND attnum > 0
UNION ALL
SELECT inhparent::regclass::text, inhrelid::regclass::text, NULL, inhseqno::text, inhdetachpending FROM pg_inherits
ORDER BY 1, 2, 3, 4
"""
SNAPSHOT = "SELECT tableoid::regclass::text, ctid::text, xmin::text, messages::text FROM messages ORDER BY id"


def spoil(connection: Connection, messages: list[UUID]) -> UUID:
    """A wrong value, a row too few, a row too many; returns the id of the last."""
    wrong, missing, model = (str(message) for message in messages[-3:])
    added = UUID(int=UUID(model).int + 1)
    execute_and_commit(connection, "UPDATE messages SET attempts = 7, reason = 'planted' WHERE id = %s", wrong)
    execute_and_commit(connection, "DELETE FROM messages WHERE id = %s", missing)
    execute_and_commit(
        connection,
        "INSERT INTO messages (id, topic, data_version, status, version, request, attempts, requested_in, accepted_at,"
        " updated_at) SELECT %s, topic, data_version, status, version, request, attempts, requested_in, accepted_at,"
        " updated_at FROM messages WHERE id = %s",
        str(added),
        model,
    )
    return added


def differences(output: str) -> set[tuple[Any, ...]]:
    found = json.loads(output)["partitions"]
    return {
        (one["kind"], one["columns"], one["messages"], *one["ids"])
        for partition in found
        for one in partition["differences"]
    }


def test_a_table_that_is_right_stays_what_it_was(connection: Connection, stored: list[UUID], rebuild: Rebuild) -> None:
    before = fetch(connection, "SELECT messages::text FROM messages ORDER BY id")
    connection.rollback()

    done = rebuild()

    assert done.exit_code == 0, done.output
    assert f"{len(stored)} messages folded" in done.stdout
    assert "none differed" in done.stdout
    assert fetch(connection, "SELECT messages::text FROM messages ORDER BY id") == before
    assert assert_projection_equals_log(connection) == len(stored)


def test_wrong_rows_are_told_and_repaired(connection: Connection, stored: list[UUID], rebuild: Rebuild) -> None:
    added = spoil(connection, stored)
    planted = {
        ("different", "attempts, reason", 1, str(stored[-3])),
        ("missing", "", 1, str(stored[-2])),
        ("unknown", "", 1, str(added)),
    }

    checked, rebuilt, again = rebuild("--check", "--json"), rebuild("--json"), rebuild("--check", "--json")

    assert (checked.exit_code, rebuilt.exit_code, again.exit_code) == (1, 0, 0), rebuilt.output
    assert differences(checked.stdout) == planted
    assert differences(rebuilt.stdout) == planted
    assert differences(again.stdout) == set()
    assert assert_projection_equals_log(connection) == len(stored)


def test_an_edit_that_the_table_does_not_know_is_told(connection: Connection, rebuild: Rebuild) -> None:
    (message,) = accepted(connection, notification(content="1.0"))
    execute_and_commit(
        connection,
        "INSERT INTO outbox (stream_id, version, type, data, payload) SELECT id, 2, 'message.edited',"
        " '{\"event\": \"other\"}', jsonb_build_object('key', key) FROM messages",
    )

    found = differences(rebuild("--check", "--json").stdout)

    assert found == {("different", "data_version, event, version, updated_at", 1, str(message))}


def test_what_stands_in_a_wrong_queue_is_told_and_put_right(
    connection: Connection, stored: list[UUID], rebuild: Rebuild
) -> None:
    execute_and_commit(connection, "DELETE FROM unfinished")
    ((misplaced,),) = fetch(connection, "SELECT count(*) FROM messages WHERE is_unfinished(status)")
    connection.rollback()

    checked, rebuilt, again = rebuild("--check"), rebuild("--json"), rebuild("--check", "--json")

    assert (checked.exit_code, rebuilt.exit_code, again.exit_code) == (1, 0, 0), rebuilt.output
    assert f"{misplaced} messages stood in a wrong queue" in checked.stdout
    assert [json.loads(done.stdout)["queues"] for done in (rebuilt, again)] == [misplaced, 0]
    assert assert_projection_equals_log(connection) == len(stored)


def test_checking_changes_nothing(connection: Connection, stored: list[UUID], rebuild: Rebuild) -> None:
    spoil(connection, stored)
    before = fetch(connection, SNAPSHOT), fetch(connection, EVERYTHING)
    connection.rollback()

    checked = rebuild("--check")

    assert checked.exit_code == 1
    assert f"1 missing from messages: {stored[-2]}" in checked.stdout
    assert f"1 different in attempts, reason: {stored[-3]}" in checked.stdout
    assert (fetch(connection, SNAPSHOT), fetch(connection, EVERYTHING)) == before


@pytest.mark.usefixtures("stored")
def test_tables_indexes_and_constraints_are_those_of_the_migrations(
    connection: Connection, database: str, rebuild: Rebuild
) -> None:
    before = fetch(connection, EVERYTHING)
    storage = "SELECT count(DISTINCT oid) FROM pg_class WHERE relfilenode = ANY (%s)"
    files = [file for (file,) in fetch(connection, "SELECT relfilenode FROM pg_class WHERE relname ~ '^messages_y'")]
    connection.rollback()

    assert rebuild().exit_code == 0

    assert fetch(connection, EVERYTHING) == before
    assert fetch(connection, storage, [file for file in files if file]) == [(0,)]
    connection.rollback()
    assert "No new upgrade operations detected" in run_alembic(database, "check").stdout


def test_storage_options_of_a_partition_are_kept(connection: Connection, rebuild: Rebuild) -> None:
    ((partition,),) = fetch(
        connection, "SELECT min(inhrelid::regclass::text) FROM pg_inherits WHERE inhparent = 'messages'::regclass"
    )
    execute_and_commit(connection, f"ALTER TABLE {partition} SET (fillfactor = 70)")

    assert rebuild().exit_code == 0

    assert fetch(connection, "SELECT reloptions FROM pg_class WHERE relname = %s", partition) == [(["fillfactor=70"],)]


def test_while_the_books_are_closed_it_waits_and_then_says_so(
    connection: Connection, rebuild: Rebuild, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "LOCK_PATIENCE", 0.5)
    fetch(connection, f"SELECT pg_advisory_lock({KEYS})", BOOKS)

    refused = rebuild()

    assert refused.exit_code == 1
    assert "another rebuild or the closing of the books is under way" in refused.output


def test_a_column_that_this_release_does_not_know_is_named(connection: Connection, rebuild: Rebuild) -> None:
    execute_and_commit(connection, "ALTER TABLE messages ADD COLUMN stray text")

    refused = rebuild()

    assert refused.exit_code == 1
    assert "differ in stray" in refused.output


def test_a_stream_without_its_beginning_is_named(connection: Connection, rebuild: Rebuild) -> None:
    (message,) = accepted(connection, notification())
    stray = str(UUID(int=message.int + 1))
    cancelled = "INSERT INTO outbox (stream_id, version, type, payload) VALUES (%s, 1, 'message.cancelled', '{}')"
    execute_and_commit(connection, cancelled, stray)

    refused = rebuild()

    assert refused.exit_code == 1
    assert f"the log cannot be folded: message.cancelled cannot be the first event of stream {stray}" in refused.output
    assert fetch(connection, "SELECT count(*) FROM messages") == [(1,)]


def test_a_partition_of_one_table_alone_is_named(connection: Connection, rebuild: Rebuild) -> None:
    execute_and_commit(connection, "CREATE TABLE alone (LIKE outbox INCLUDING ALL)")
    later = "'ffffffff-0000-7000-8000-000000000000'"
    execute_and_commit(connection, f"ALTER TABLE outbox ATTACH PARTITION alone FOR VALUES FROM ({later}) TO (MAXVALUE)")

    refused = rebuild()

    assert refused.exit_code == 1
    assert "alone" in refused.output
    assert "no partition with the same bounds" in refused.output


def test_a_database_that_is_away_is_a_sentence() -> None:
    away = CliRunner().invoke(command, env={"DATABASE_URL": "postgresql://postgres@127.0.0.1:1/nowhere"})

    assert away.exit_code == 1
    assert "Connection refused" in away.output
