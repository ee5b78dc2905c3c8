"""What the committer makes of commands: each stored and answered, or refused alone."""

import asyncio
from collections.abc import Sequence
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from herald.outbox.acceptance import writer
from herald.outbox.acceptance.committer import MAX_BYTES, Committer, RefusedError, UnavailableError
from herald.outbox.acceptance.idempotency import Receipt, RequestKey
from herald.outbox.moves.accept import Acceptance, Written, accept, make_acceptance
from herald.outbox.postgres.commit import CommitUnknownError
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.notify import listen
from herald.outbox.relay.session import wait_for_news
from tests.outbox.acceptance.commands import CUT, KEY, REASON, names, running, stored, submitted
from tests.outbox.connections import connected, execute_and_commit, notification
from tests.servers.postgres import PostgresServer


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
        execute_and_commit(other, CUT)

        assert submitted(committer, [[notification()]]) == [None]


def test_a_stopped_committer_refuses_and_says_so(database: str) -> None:
    with running(database) as committer:
        pass

    assert isinstance(submitted(committer, [[notification()]])[0], UnavailableError)


def test_a_session_that_began_read_only_is_replaced(database: str) -> None:
    with connected(database) as connection, running(database) as committer:
        name = connection.info.dbname
        execute_and_commit(connection, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        assert isinstance(submitted(committer, [[notification()]])[0], UnavailableError)

        execute_and_commit(connection, f"ALTER DATABASE {name} RESET default_transaction_read_only")

        assert submitted(committer, [[notification()]]) == [None]
