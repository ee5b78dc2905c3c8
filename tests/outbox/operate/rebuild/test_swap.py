"""The steps of a rebuild while others write: what is in progress, what holds the lock, what freezes."""

import threading
from collections.abc import Iterator
from uuid import UUID

import pytest

from herald.outbox.moves.accept import accept
from herald.outbox.moves.claim import Record, claim
from herald.outbox.operate.rebuild import swapping
from herald.outbox.operate.rebuild.building import begin_snapshot, fill, make_indexes, make_table
from herald.outbox.operate.rebuild.partitions import Pair, find_pairs, remove_leftovers
from herald.outbox.operate.rebuild.rebuilding import compare
from herald.outbox.operate.rebuild.session import RefusedError, Session, opened
from herald.outbox.operate.rebuild.swapping import Step, catch_up, fold_changes, swap
from herald.outbox.postgres.driver import Connection, OperationalError
from herald.outbox.postgres.statements import execute, fetch
from tests.outbox.connections import (
    accepted,
    assert_projection_equals_log,
    connected,
    execute_and_commit,
    make_settings,
    notification,
)
from tests.servers.eventually import eventually


@pytest.fixture
def session(database: str) -> Iterator[Session]:
    with opened(make_settings(database), threading.Event()) as session:
        yield session


@pytest.fixture
def pair(session: Session) -> Pair:
    """The partition of today, its log with the index of a rebuild."""
    pair = find_pairs(session.writer)[0]
    execute(session.writer, f"CREATE INDEX {pair.log_index.rpartition('.')[2]} ON {pair.log} (transaction_id)")
    return pair


def built(session: Session, pair: Pair) -> tuple[str, dict[str, str]]:
    """The fresh table in the snapshot that is returned, and its indexes."""
    snapshot, _, _ = begin_snapshot(session, pair)
    make_table(session.writer, pair)
    fill(session, pair, pair.fresh, lambda done: None)  # noqa: ARG005 - nobody watches
    return snapshot, make_indexes(session, pair)


def write_a_little(connection: Connection, older: list[UUID]) -> None:
    """An accepted message and a claim of one that was there before."""
    accept(connection, [notification()])
    claim(connection, [Record(older.pop(), 1)], lease=60)


def test_what_was_in_progress_or_began_later_is_caught_up(
    session: Session, pair: Pair, connection: Connection, database: str
) -> None:
    older = accepted(connection, *(notification() for _ in range(6)))
    with connected(database) as in_progress, connected(database) as never_committed:
        write_a_little(in_progress, older)
        write_a_little(never_committed, older)
        snapshot, _ = built(session, pair)
        write_a_little(connection, older)
        in_progress.commit()
        connection.commit()

        step = catch_up(session, pair, snapshot)

        assert step.streams == 4
        assert compare(session.writer, pair.fresh, pair.live) == []
        never_committed.commit()
        assert catch_up(session, pair, step.snapshot).streams == 2
        assert compare(session.writer, pair.fresh, pair.live) == []


def test_what_is_written_before_the_lock_is_had_is_swapped_in(
    session: Session, pair: Pair, connection: Connection
) -> None:
    older = accepted(connection, *(notification() for _ in range(6)))
    snapshot, names = built(session, pair)
    write_a_little(connection, older)
    connection.commit()

    swapped = swap(session, pair, snapshot, names)

    assert (swapped.tries, swapped.streams) == (1, 2)
    assert assert_projection_equals_log(connection) == 7
    write_a_little(connection, older)
    connection.commit()
    assert assert_projection_equals_log(connection) == 8


def test_a_lock_that_is_not_free_is_asked_for_again_with_what_changed_meanwhile(
    session: Session, pair: Pair, connection: Connection, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = accepted(connection, *(notification() for _ in range(6)))
    snapshot, names = built(session, pair)
    with connected(database) as holder:
        write_a_little(holder, older)

        def release(session: Session, pair: Pair, previous: str) -> Step:
            holder.commit()
            return catch_up(session, pair, previous)

        monkeypatch.setattr(swapping, "catch_up", release)
        swapped = swap(session, pair, snapshot, names)

    assert (swapped.tries, swapped.streams) == (2, 2)
    assert assert_projection_equals_log(connection) == 7


def test_a_transaction_that_stays_open_ends_it_after_a_number_of_tries(
    session: Session, pair: Pair, connection: Connection, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepted(connection, notification())
    snapshot, names = built(session, pair)
    monkeypatch.setattr(swapping, "TRIES", 2)
    monkeypatch.setattr(swapping, "PAUSE", 0.01)
    with connected(database) as holder:
        fetch(holder, "SELECT FROM messages")

        with pytest.raises(RefusedError, match="after 2 tries"):
            swap(session, pair, snapshot, names)

    assert fetch(connection, "SELECT count(*) FROM messages") == [(1,)]
    connection.rollback()
    assert remove_leftovers(session.writer) == 2


def test_who_waits_for_the_swap_goes_on_in_the_new_table(
    session: Session, pair: Pair, connection: Connection, monkeypatch: pytest.MonkeyPatch, database: str
) -> None:
    (message,) = accepted(connection, notification())
    snapshot, names = built(session, pair)
    won: list[object] = []

    def work() -> None:
        with connected(database) as own:
            won.append(claim(own, [Record(message, 1)], lease=60))
            own.commit()

    worker = threading.Thread(target=work)

    def fold_while_somebody_waits(writer: Connection, pair: Pair, previous: str) -> Step:
        worker.start()
        eventually(lambda: fetch(connection, "SELECT 1 FROM pg_locks WHERE NOT granted"), what="the claim waits")
        return fold_changes(writer, pair, previous)

    monkeypatch.setattr(swapping, "fold_changes", fold_while_somebody_waits)
    monkeypatch.setattr(swapping, "_LIMITS", "SET LOCAL statement_timeout = '30s'")
    connection.rollback()
    swap(session, pair, snapshot, names)
    worker.join(30)

    assert won
    assert list(won[0]) == [message]  # type: ignore[call-overload]
    assert assert_projection_equals_log(connection) == 1


def test_a_rebuild_that_freezes_under_the_lock_loses_it(
    session: Session, pair: Pair, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepted(connection, notification())
    snapshot, names = built(session, pair)

    def freeze(*_: object) -> Step:
        # answered only once the lock is gone
        assert fetch(connection, "SELECT count(*) FROM messages") == [(1,)]
        return Step(snapshot, 0)

    monkeypatch.setattr(swapping, "fold_changes", freeze)
    with pytest.raises(OperationalError):
        swap(session, pair, snapshot, names)

    connection.rollback()
    execute_and_commit(connection, f"DROP TABLE {pair.fresh}")
    assert assert_projection_equals_log(connection) == 1
