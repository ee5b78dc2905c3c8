import asyncio
import contextlib
import threading
from collections.abc import Iterator, Sequence
from uuid import UUID, uuid4

import pytest
from structlog.testing import capture_logs

from herald.outbox.acceptance import writer
from herald.outbox.acceptance.committer import MAX_BYTES, Committer, RefusedError, UnavailableError
from herald.outbox.acceptance.idempotency import Receipt, RequestKey
from herald.outbox.moves.accept import Acceptance, Written, accept, make_acceptance
from herald.outbox.postgres import commit as verdict
from herald.outbox.postgres.commit import CommitUnknownError, NotReplicatedError, commit, committed_after_all
from herald.outbox.postgres.connections import connect, connect_watched, is_data_error, is_outage
from herald.outbox.postgres.driver import Connection, OperationalError, PostgresError
from herald.outbox.postgres.notify import listen
from herald.outbox.postgres.statements import execute, fetch
from herald.outbox.relay.session import wait_for_news
from tests.outbox.connections import connected, execute_and_commit, make_settings, notification
from tests.servers.eventually import eventually
from tests.servers.postgres import PostgresServer

KEY = "\0"  # which PostgreSQL refuses
REASON = "PostgreSQL refuses it: unsupported Unicode escape sequence"


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Tracebacks are drawn with all their variables, which takes a second each."""
    with capture_logs():
        yield


@contextlib.contextmanager
def running(url: str) -> Iterator[Committer]:
    committer = Committer(make_settings(url, connect_timeout=2))
    committer.start()
    try:
        yield committer
    finally:
        committer.stop()


def submitted(committer: Committer, commands: Sequence[Sequence[Acceptance]]) -> list[BaseException | None]:
    """How each failed, or None."""

    async def submit_all() -> list[Receipt | BaseException]:
        return await asyncio.gather(*(committer.submit(command) for command in commands), return_exceptions=True)

    return [answer if isinstance(answer, BaseException) else None for answer in asyncio.run(submit_all())]


def stored(url: str) -> set[str]:
    with connected(url) as connection:
        return {message for (message,) in fetch(connection, "SELECT id::text FROM messages")}


def names(acceptances: Sequence[Acceptance]) -> set[str]:
    return {str(acceptance.id) for acceptance in acceptances}


def test_one_command_that_postgresql_refuses_fails_alone(database: str) -> None:
    good = [notification(f"user {number}") for number in range(40)]
    bad = make_acceptance("generic_topic", KEY, b"{}")

    with running(database) as committer:
        answers = submitted(committer, [*([one] for one in good[:20]), [bad], *([one] for one in good[20:])])

    assert [answer for answer in answers if answer] == [answers[20]]
    assert isinstance(answers[20], RefusedError)
    assert str(answers[20]) == REASON
    assert stored(database) == names(good)


def unforeseen(monkeypatch: pytest.MonkeyPatch, error: Exception, *, at: set[str] | None = None) -> None:
    """From now on the statement fails so, where it holds one of these ids, or always."""

    def failing_accept(connection: Connection, acceptances: Sequence[Acceptance]) -> Written:
        if at is None or at & names(acceptances):
            raise error
        return accept(connection, acceptances)

    monkeypatch.setattr(writer, "accept", failing_accept)


@pytest.mark.parametrize("beside", [0, 40])
def test_an_error_that_nobody_foresaw_ends_the_command_at_fault_and_no_other(
    database: str, monkeypatch: pytest.MonkeyPatch, beside: int
) -> None:
    good, bad = [notification() for _ in range(beside)], notification()
    unforeseen(monkeypatch, UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"), at=names([bad]))

    with running(database) as committer, capture_logs() as logs:
        answers = submitted(committer, [*([one] for one in good), [bad]])

    assert [type(answer) for answer in answers] == [type(None)] * beside + [RefusedError]
    assert str(answers[-1]).startswith("UnicodeEncodeError: ")
    assert stored(database) == names(good)
    assert [log["event"] for log in logs] == ["command_refused"]


def test_an_error_that_everything_meets_convicts_nobody(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    unforeseen(monkeypatch, TypeError("nobody foresaw this"))

    with running(database) as committer:
        answers = submitted(committer, [[notification()] for _ in range(5)])
        (alone,) = submitted(committer, [[notification()]])
        monkeypatch.undo()
        (afterwards,) = submitted(committer, [[notification()]])

    assert {type(answer) for answer in (*answers, alone)} == {UnavailableError}
    assert afterwards is None


@pytest.mark.parametrize(
    "statement",
    ["REVOKE EXECUTE ON FUNCTION accept(json, text) FROM writer", "REVOKE SELECT ON idempotency_keys_even FROM writer"],
)
def test_missing_rights_convict_nobody(migrated_server: PostgresServer, statement: str) -> None:
    migrated_server.execute("CREATE ROLE writer LOGIN")
    migrated_server.execute("GRANT USAGE ON SCHEMA herald TO writer")
    migrated_server.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA herald TO writer")
    migrated_server.execute("GRANT USAGE ON ALL SEQUENCES IN SCHEMA herald TO writer")
    migrated_server.execute("GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA herald TO writer")
    request_key = RequestKey(uuid4(), uuid4())

    async def submit(committer: Committer) -> Receipt:
        return await committer.submit([notification()], request_key)

    with running(migrated_server.url().replace("postgres@", "writer@", 1)) as committer:
        migrated_server.execute(statement)
        with pytest.raises(UnavailableError, match="permission denied"):
            asyncio.run(submit(committer))
        migrated_server.execute(statement.replace("REVOKE", "GRANT").replace("FROM", "TO"))

        assert asyncio.run(submit(committer)).ids


def test_a_command_that_fails_beside_others_by_what_is_nobodys_fault_may_come_again(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, other = [notification() for _ in range(3)], notification()
    unforeseen(monkeypatch, MemoryError(), at=names([other]))

    with running(database) as committer:
        answers = submitted(committer, [*([one] for one in good), [other]])

    assert [type(answer) for answer in answers] == [type(None)] * 3 + [UnavailableError]
    assert stored(database) == names(good)


def test_more_than_20_refused_in_a_minute_for_one_reason_are_no_coincidence(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = notification(), [notification() for _ in range(25)]
    unforeseen(monkeypatch, TypeError("nobody foresaw this"), at=names(bad))

    with running(database) as committer:
        answers = submitted(committer, [*([one] for one in bad), [good]])

    assert [type(answer) for answer in answers].count(RefusedError) == 20
    assert [type(answer) for answer in answers].count(UnavailableError) == 5


def test_what_may_be_committed_already_is_not_written_again(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[int] = []

    def unanswered(connection: Connection, transaction_id: int) -> None:
        written.append(transaction_id)
        connection.rollback()
        raise CommitUnknownError(transaction_id, "gone")

    monkeypatch.setattr(writer, "commit", unanswered)
    monkeypatch.setattr(writer, "committed_after_all", lambda *_arguments: False)

    with running(database) as committer:
        answers = submitted(committer, [[notification()] for _ in range(4)])

    assert {type(answer) for answer in answers} == {UnavailableError}
    assert len(written) <= 2  # one transaction for what was taken at once, or two


def test_large_commands_are_written_a_few_at_a_time(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def counted(connection: Connection, acceptances: Sequence[Acceptance]) -> Written:
        sizes.append(sum(one.size for one in acceptances))
        return accept(connection, acceptances)

    monkeypatch.setattr(writer, "accept", counted)
    large = [notification(content="x" * 900_000) for _ in range(12)]

    with running(database) as committer:
        assert submitted(committer, [[one] for one in large]) == [None] * 12

    assert max(sizes) < 2 * MAX_BYTES


def test_a_command_of_many_is_stored_whole_or_not_at_all(database: str) -> None:
    good, mixed = [notification(), notification()], [notification(), make_acceptance("generic_topic", KEY, b"{}")]

    with running(database) as committer:
        answers = submitted(committer, [good, mixed])

    assert [type(answer) for answer in answers] == [type(None), RefusedError]
    assert stored(database) == names(good)


def test_the_relay_is_told_after_the_commit(database: str) -> None:
    with connected(database) as listener, running(database) as committer:
        listener.autocommit = True
        listen(listener)

        submitted(committer, [[notification()]])

        assert wait_for_news(listener, 5.0)


def run(connection: Connection, statement: str) -> None:
    execute(connection, statement)


def test_a_database_that_is_away_is_unavailable_and_found_again_when_it_returns(
    migrated_server: PostgresServer,
) -> None:
    with running(migrated_server.url()) as committer:
        assert submitted(committer, [[notification()]]) == [None]
        migrated_server.stop()
        (refused,) = submitted(committer, [[notification()]])
        migrated_server.start()

        assert isinstance(refused, UnavailableError)
        assert submitted(committer, [[notification()]]) == [None]


def test_a_connection_that_was_cut_between_two_commits_is_replaced(database: str) -> None:
    with running(database) as committer, connected(database) as other:
        submitted(committer, [[notification()]])
        execute_and_commit(
            other, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'herald-committer'"
        )

        assert submitted(committer, [[notification()]]) == [None]


def test_a_stopped_committer_refuses_and_says_so(database: str) -> None:
    with running(database) as committer:
        pass

    assert isinstance(submitted(committer, [[notification()]])[0], UnavailableError)


CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'herald-committer'"
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


def test_a_session_that_began_read_only_is_replaced(database: str) -> None:
    with connected(database) as connection, running(database) as committer:
        name = connection.info.dbname
        execute_and_commit(connection, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        assert isinstance(submitted(committer, [[notification()]])[0], UnavailableError)

        execute_and_commit(connection, f"ALTER DATABASE {name} RESET default_transaction_read_only")

        assert submitted(committer, [[notification()]]) == [None]


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
        run(connection, "CREATE TABLE public.written AS SELECT 1")  # only a commit that wrote something waits
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


def failing(connection: Connection, statement: str) -> PostgresError:
    with pytest.raises(PostgresError) as raised:
        execute_and_commit(connection, statement)
    connection.rollback()
    return raised.value


@pytest.mark.parametrize(
    ("statement", "is_data"),
    [
        ("SELECT '1e400000'::jsonb", True),
        ("SELECT '\"\\u0000\"'::jsonb", True),
        ("INSERT INTO relay_pages VALUES (1, '1:1:', '{}'), (1, '1:1:', '{}')", True),
        ("DO $$ BEGIN RAISE SQLSTATE '53100'; END $$", False),
        ("DO $$ BEGIN RAISE SQLSTATE '40001'; END $$", False),
        ("SET TRANSACTION READ ONLY; INSERT INTO relay_pages VALUES (1, '1:1:', '{}')", False),
    ],
)
def test_errors_of_the_data_and_of_the_database_are_told_apart(database: str, statement: str, *, is_data: bool) -> None:
    with connected(database) as connection:
        error = failing(connection, statement)

    assert (is_data_error(error), is_outage(error)) == (is_data, not is_data)


def test_a_missing_partition_is_not_the_datas_fault(database: str) -> None:
    far_ahead = Acceptance(UUID("ffffffff-ffff-7fff-bfff-ffffffffffff"), "generic_topic", None, notification().data)
    with connected(database) as connection, pytest.raises(PostgresError) as raised:
        accept(connection, [far_ahead])

    assert (is_data_error(raised.value), is_outage(raised.value)) == (False, True)
