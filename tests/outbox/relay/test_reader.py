import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest

from herald.outbox.moves.accept import accept
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import execute, fetch
from herald.outbox.relay import cursor as cursors
from herald.outbox.relay.cursor import Cursor, CursorError, LostLeadError
from herald.outbox.relay.reader import Limits, Page, read_page
from herald.outbox.relay.session import open_session
from tests.outbox.connections import accepted, connected, execute_and_commit, make_settings, notification

ReadPage = Callable[[Connection, Cursor, int], Page]


@pytest.fixture
def session(database: str) -> Iterator[Connection]:
    session = open_session(make_settings(database))
    yield session
    session.close()


def by_snapshots(session: Connection, cursor: Cursor, size: int) -> Page:
    return read_page(session, cursor, Limits(size))


def by_last_position(session: Connection, cursor: Cursor, size: int) -> Page:
    """What most outbox relays do; it stands here to show that the tests can tell."""
    rows = fetch(
        session,
        "SELECT stream_id::text, version, type, topic, key, data::text, '', '1', NULL, position FROM outbox"
        " WHERE position > %s ORDER BY position LIMIT %s",
        cursor.last_position,
        size,
    )
    last = rows[-1][-1] if rows else cursor.last_position
    return Page(rows, cursor.after_page(target=cursor.previous, last_position=last, is_last=False))


def read_on(
    session: Connection, cursor: Cursor, read: ReadPage = by_snapshots, size: int = 3
) -> tuple[list[str], Cursor]:
    """Read until nothing is new; the streams in the order in which they would be published."""
    found: list[str] = []
    while True:
        page = read(session, cursor, size)
        found += [row[0] for row in page.rows]
        cursor = page.cursor
        if (not page.rows and cursor.target is None) or (not page.rows and read is by_last_position):
            return found, cursor


def write_out_of_order(database: str, session: Connection, read: ReadPage) -> tuple[set[str], list[str]]:
    """Three writers whose commits overtake each other while the relay reads; what was committed, what was read."""
    draw = random.Random(7)  # noqa: S311 - a replayable plan
    written: set[str] = set()
    published: list[str] = []
    cursor = cursors.load(session)
    with ExitStack() as stack:
        held = stack.enter_context(connected(database))
        execute_without_commit(held, "SELECT pg_current_xact_id()")  # a write transaction that stays open all along
        writers = [stack.enter_context(connected(database)) for _ in range(3)]
        for _ in range(60):
            writer = draw.choice(writers)
            if draw.random() < 0.5:
                acceptance = notification(draw.choice("abc"))
                accept(writer, [acceptance])
                written.add(str(acceptance.id))
                continue
            writer.commit()
            found, cursor = read_on(session, cursor, read)
            published += found
        for writer in writers:
            writer.commit()
        found, cursor = read_on(session, cursor, read)
        published += found
    return written, published


def execute_without_commit(connection: Connection, statement: str) -> None:
    execute(connection, statement)


def test_writers_that_overtake_each_other_lose_nothing(database: str, session: Connection) -> None:
    written, published = write_out_of_order(database, session, by_snapshots)

    assert sorted(published) == sorted(written)


def test_reading_by_last_position_would_lose_events(database: str, session: Connection) -> None:
    written, published = write_out_of_order(database, session, by_last_position)

    assert set(published) < written


def test_an_open_write_transaction_holds_nothing_up(database: str, session: Connection) -> None:
    with connected(database) as held, connected(database) as writer:
        waiting = notification()
        accept(held, [waiting])
        done = accepted(writer, notification(), notification())

        found, cursor = read_on(session, cursors.load(session))

        assert found == [str(message) for message in done]
        held.commit()
        assert read_on(session, cursor)[0] == [str(waiting.id)]


def test_a_message_requested_after_another_was_answered_is_read_after_it(database: str, session: Connection) -> None:
    with connected(database) as one, connected(database) as other:
        slow = notification("eve")
        accept(one, [slow])
        first = accepted(other, notification("ada"))
        second = accepted(other, notification("ada"))
        one.commit()
        third = accepted(other, notification("ada"))

    found, _ = read_on(session, cursors.load(session), size=2)

    assert [stream for stream in found if stream != str(slow.id)] == [str(one) for one in first + second + third]


def test_a_rolled_back_event_is_never_read(database: str, session: Connection) -> None:
    with connected(database) as writer:
        accept(writer, [notification()])
        writer.rollback()

        assert read_on(session, cursors.load(session))[0] == []


def test_a_row_of_a_transaction_that_has_not_begun_is_not_read_again_and_again(
    database: str, session: Connection
) -> None:
    with connected(database) as writer:
        forged, good = accepted(writer, notification(), notification())
        execute_and_commit(writer, "ALTER TABLE outbox DISABLE TRIGGER USER")
        execute_and_commit(
            writer, "UPDATE outbox SET transaction_id = '4611686018427387904' WHERE stream_id = %s", str(forged)
        )

    page = by_snapshots(session, cursors.load(session), 10)

    assert [row[0] for row in page.rows] == [str(good)]


def test_a_row_with_the_id_of_a_transaction_under_way_is_not_read_again_and_again(
    database: str, session: Connection
) -> None:
    """After a dump was restored, ids of its past are given out once more."""
    with connected(database) as writer, connected(database) as other:
        ((running,),) = fetch(other, "SELECT pg_current_xact_id()::text")
        (restored,) = accepted(writer, notification())
        execute_and_commit(writer, "ALTER TABLE outbox DISABLE TRIGGER USER")
        execute_and_commit(writer, "UPDATE outbox SET transaction_id = %s WHERE stream_id = %s", running, str(restored))
        first = by_snapshots(session, cursors.load(session), 10)

        again = by_snapshots(session, first.cursor, 10)

    assert [row[0] for row in first.rows] == [str(restored)]
    assert again.rows == []


def test_a_stored_cursor_goes_on_in_the_middle_of_a_difference(database: str, session: Connection) -> None:
    with connected(database) as writer:
        messages = accepted(writer, *(notification() for _ in range(7)))
    cursor = cursors.load(session)
    page = read_page(session, cursor, Limits(3))
    cursors.save(session, page.cursor)

    found, _ = read_on(session, cursors.load(session))

    assert found == [str(message) for message in messages[3:]]


def test_a_cursor_that_somebody_else_moved_is_not_saved(session: Connection) -> None:
    cursor = cursors.load(session)
    cursors.save(session, cursor)

    with pytest.raises(LostLeadError, match="no longer at epoch 0"):
        cursors.save(session, cursor)


def test_a_relay_of_before_a_fail_over_does_not_come_by_the_epoch_it_remembers(session: Connection) -> None:
    old = cursors.begin_term(session, cursors.load(session), cluster_id="here")
    execute_and_commit(session, "UPDATE relay_cursor SET epoch = 0")  # what the standby had

    new = cursors.begin_term(session, cursors.load(session), cluster_id="here")

    assert new.epoch != old.epoch
    with pytest.raises(LostLeadError):
        cursors.save(session, old)


def test_what_was_being_written_below_the_floor_is_read_once_it_is_committed(
    database: str, session: Connection
) -> None:
    with connected(database) as writer, connected(database) as other:
        slow, quick = notification(), notification()
        accept(writer, [slow])
        accepted(other, quick)
        ((snapshot, floor),) = fetch(session, "SELECT pg_current_snapshot()::text, max(position) FROM outbox")
        writer.commit()
        cursor = replace(cursors.load(session), previous=snapshot, floor=floor)

        assert read_on(session, cursor)[0] == [str(slow.id)]
        assert read_on(session, cursor, size=1)[0] == [str(slow.id)]


@pytest.mark.parametrize(("column", "what"), [("system_identifier", "PostgreSQL"), ("cluster_id", "Kafka")])
def test_a_cursor_of_another_cluster_is_refused(session: Connection, column: str, what: str) -> None:
    cursors.begin_term(session, cursors.load(session), cluster_id="here")
    execute_and_commit(session, f"UPDATE relay_cursor SET {column} = 'elsewhere'")

    with pytest.raises(CursorError, match=f"belongs to another {what} cluster .elsewhere.*herald relay --rebase"):
        cursors.begin_term(session, cursors.load(session), cluster_id="here")


def test_a_new_timeline_is_taken_over(session: Connection) -> None:
    cursors.begin_term(session, cursors.load(session), cluster_id="here")
    execute_and_commit(session, "UPDATE relay_cursor SET timeline = 0")

    assert cursors.begin_term(session, cursors.load(session), cluster_id="here").timeline > 0
