"""Cancelling what was asked for together, part by part."""

from uuid import UUID

from herald.outbox.moves.accept import accept, make_acceptance
from herald.outbox.moves.cancel import Part, cancel, cancel_part
from herald.outbox.moves.claim import Record, claim
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import execute, fetch, fetch_column, fetch_value
from tests.outbox.connections import connected
from tests.pipeline.records import new_id

PART = 1_000  # messages of one transaction
STATUSES = "SELECT status, count(*) FROM messages GROUP BY status ORDER BY status"
# What was seen as waiting has moved once it is locked, as far as it is the second.
MOVED_MEANWHILE = """
CREATE SEQUENCE looks;
GRANT USAGE ON SEQUENCE looks TO herald_owner;
CREATE OR REPLACE FUNCTION can_be_taken_back(found messages) RETURNS boolean LANGUAGE sql VOLATILE
    RETURN found.key <> '1' OR nextval('looks') = 1
"""


def together(connection: Connection, count: int) -> tuple[UUID, list[UUID]]:
    """A group of so many, and its messages."""
    group = new_id()
    rows = [make_acceptance("notifications", str(number), b"{}", group_id=group) for number in range(count)]
    accept(connection, rows)
    connection.commit()
    return group, [row.id for row in rows]


def test_a_group_is_taken_back_a_thousand_at_a_time(connection: Connection) -> None:
    group, messages = together(connection, 2 * PART + 1)
    _, (other,) = together(connection, 1)

    first = cancel_part(connection, group)
    assert fetch(connection, STATUSES) == [("cancelled", PART), ("pending", PART + 2)]
    assert first == Part(messages[PART - 1], PART, 0)
    second = cancel_part(connection, group, behind=messages[PART - 1])
    assert second == Part(messages[2 * PART - 1], PART, 0)
    assert cancel_part(connection, group, behind=messages[2 * PART - 1]) == Part(None, 1, 0)

    assert fetch_column(connection, "SELECT id::text FROM messages WHERE status <> 'cancelled'") == [str(other)]
    cancelled = "SELECT count(*) FROM outbox WHERE type = 'message.cancelled' AND version = 2"
    assert fetch_value(connection, cancelled) == 2 * PART + 1


def test_a_group_that_nobody_knows_has_no_part(connection: Connection) -> None:
    assert cancel_part(connection, new_id()) == Part(None, 0, 0)


def test_of_a_group_stays_what_is_tried_and_what_others_hold(connection: Connection, database: str) -> None:
    group, (tried, held, *others) = together(connection, 5)
    claim(connection, [Record(tried, 1)], lease=60)
    connection.commit()
    with connected(database) as other:
        execute(other, "SET lock_timeout = '5s'")
        cancel(connection, held)

        assert cancel_part(other, group) == Part(None, 5, 1)

        other.commit()
        connection.rollback()
        assert cancel_part(other, group) == Part(None, 5, 0)
        other.commit()
    found: dict[str, str] = dict(fetch(connection, "SELECT id::text, status FROM messages"))
    assert found == {str(tried): "sending", **{str(one): "cancelled" for one in (held, *others)}}


def test_what_moved_before_it_was_locked_is_let_go_of_at_once(connection: Connection, database: str) -> None:
    group, messages = together(connection, 3)
    execute(connection, MOVED_MEANWHILE)
    connection.commit()

    assert cancel_part(connection, group) == Part(None, 3, 0)

    with connected(database) as other:
        free = fetch_column(other, "SELECT id::text FROM messages FOR NO KEY UPDATE SKIP LOCKED")
        other.rollback()
    assert free == [str(messages[1])]
    connection.commit()
    assert fetch(connection, STATUSES) == [("cancelled", 2), ("pending", 1)]
