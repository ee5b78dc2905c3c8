"""A COMMIT that was not answered, or not confirmed by a standby."""

import contextlib
import threading
from uuid import uuid4

import pytest

from herald.outbox.moves.accept import accept
from herald.outbox.postgres import commit as verdict
from herald.outbox.postgres.commit import CommitUnknownError, NotReplicatedError, commit, committed_after_all
from herald.outbox.postgres.connections import connect, connect_watched
from herald.outbox.postgres.driver import Connection, OperationalError
from herald.outbox.postgres.statements import execute, fetch
from tests.outbox.acceptance.commands import stored
from tests.outbox.connections import connected, make_settings, notification
from tests.servers.eventually import eventually
from tests.servers.postgres import PostgresServer

CANCEL = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE pid = %s AND wait_event = 'SyncRep'"


class AnswerLost:
    """A connection whose COMMIT arrives at the server, or not, and is never answered."""

    def __init__(self, connection: Connection, *, arrives: bool) -> None:
        self._connection, self._arrives = connection, arrives
        self.notices: list[str] = []
        self.closed = 1

    def commit(self) -> None:
        if self._arrives:
            self._connection.commit()
        self._connection.close()
        message = "server closed the connection unexpectedly"
        raise OperationalError(message)


@pytest.mark.parametrize("arrives", [True, False])
def test_the_truth_of_an_unanswered_commit_comes_from_the_database(database: str, *, arrives: bool) -> None:
    settings = make_settings(database)
    connection = connect(settings, "test")
    acceptance = notification()
    transaction_id, _ = accept(connection, [acceptance])

    with pytest.raises(CommitUnknownError) as unanswered:
        commit(AnswerLost(connection, arrives=arrives), transaction_id)  # type: ignore[arg-type]

    assert committed_after_all(lambda: connect(settings, "test"), unanswered.value, acceptance.id) is arrives
    assert (str(acceptance.id) in stored(database)) is arrives


def test_an_unanswered_commit_that_the_standby_does_not_confirm_is_not_taken_for_stored(
    migrated_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verdict, "PATIENCE", 0.2)
    settings = make_settings(migrated_server.url(), statement_timeout=0.2)
    acceptance = notification()
    with connected(migrated_server.url()) as connection:
        unanswered = CommitUnknownError(accept(connection, [acceptance]).transaction_id, "gone")
        connection.commit()

    migrated_server.set("synchronous_standby_names", "nobody")
    eventually(lambda: migrated_server.ask("SHOW synchronous_standby_names") == "nobody")

    assert committed_after_all(lambda: connect_watched(settings, "test"), unanswered, acceptance.id) is False


def test_a_commit_that_waits_for_a_standby_that_is_gone_ends_in_time(migrated_server: PostgresServer) -> None:
    migrated_server.set("synchronous_standby_names", "nobody")
    eventually(lambda: migrated_server.ask("SHOW synchronous_standby_names") == "nobody")

    with contextlib.closing(connect_watched(make_settings(migrated_server.url()), "test")) as connection:
        connection.limit = 0.2
        transaction_id, _ = accept(connection, [notification()])
        with pytest.raises(NotReplicatedError):
            commit(connection, transaction_id)

        assert fetch(connection, "SELECT count(*) FROM messages") == [(1,)]


def test_an_unanswered_commit_is_not_taken_for_stored_while_the_database_stays_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(verdict, "PATIENCE", 0.2)

    def away() -> Connection:
        raise OperationalError

    assert committed_after_all(away, CommitUnknownError(1, "gone"), uuid4()) is False


def test_an_unanswered_commit_is_not_taken_for_stored_when_its_id_was_given_out_again(database: str) -> None:
    settings = make_settings(database)
    lost, other = notification(), notification()
    with contextlib.closing(connect(settings, "test")) as connection:
        transaction_id, _ = accept(connection, [other])
        connection.commit()

    unanswered = CommitUnknownError(transaction_id, "the server crashed, and what it lost had this id")

    assert committed_after_all(lambda: connect(settings, "test"), unanswered, lost.id) is False
    assert committed_after_all(lambda: connect(settings, "test"), unanswered, other.id) is True


def test_a_commit_that_the_standby_did_not_confirm_is_no_success(own_server: PostgresServer) -> None:
    url = own_server.url()
    own_server.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    own_server.execute("SELECT pg_reload_conf()")
    with connected(url) as connection, connected(url) as other:
        other.autocommit = True
        eventually(lambda: fetch(other, "SHOW synchronous_standby_names") == [("nobody",)])
        execute(connection, "CREATE TABLE public.written AS SELECT 1")  # only a commit that wrote something waits
        ((transaction_id,),) = fetch(connection, "SELECT pg_current_xact_id()::text::bigint")
        ((pid,),) = fetch(connection, "SELECT pg_backend_pid()")
        cancelled = threading.Event()

        def cancel() -> None:
            while not cancelled.wait(0.1):
                fetch(other, CANCEL, pid)

        canceller = threading.Thread(target=cancel)
        canceller.start()
        try:
            with pytest.raises(NotReplicatedError):
                commit(connection, transaction_id)
        finally:
            cancelled.set()
            canceller.join()
