"""What the committer makes of commands that carry an idempotency key."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from uuid import UUID

import pytest

from herald.outbox.acceptance import writer
from herald.outbox.acceptance.committer import Committer, RefusedError, UnavailableError
from herald.outbox.acceptance.idempotency import (
    KeyInUseError,
    KeyReusedError,
    Receipt,
    RequestKey,
    find,
    make_request_key,
    remember,
)
from herald.outbox.moves.accept import Acceptance, make_acceptance
from herald.outbox.postgres import commit as verdict
from herald.outbox.postgres.commit import CommitUnknownError
from herald.outbox.postgres.driver import Connection, Cursor
from herald.outbox.postgres.statements import fetch
from tests.outbox.acceptance.commands import CUT, KEY, REASON, running, stored
from tests.outbox.connections import connected, execute_and_commit, notification
from tests.servers.eventually import eventually

Outcome = Receipt | BaseException
Submission = tuple[Sequence[Acceptance], RequestKey | None]
TRANSACTIONS = "SELECT count(DISTINCT transaction_id) FROM outbox"
KEYS = "SELECT count(*) FROM (SELECT FROM idempotency_keys_even UNION ALL SELECT FROM idempotency_keys_odd) AS keys"
WAITS = "SELECT FROM pg_locks WHERE NOT granted"


@pytest.fixture
def committer(database: str) -> Iterator[Committer]:
    with running(database) as committer:
        yield committer


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    with connected(database) as connection:
        connection.autocommit = True
        yield connection


@pytest.fixture
def other(database: str) -> Iterator[Connection]:
    with connected(database) as connection:
        yield connection


def keyed(key: str, body: bytes = b"one") -> RequestKey:
    return make_request_key(key, method="POST", path="/messages", body=body)


def good(request_key: RequestKey | None) -> Submission:
    return [notification()], request_key


def bad(request_key: RequestKey | None) -> Submission:
    return [make_acceptance("generic_topic", KEY, b"{}")], request_key


def ids(submission: Submission) -> list[UUID]:
    return [acceptance.id for acceptance in submission[0]]


def submitted(committer: Committer, *submissions: Submission) -> list[Outcome]:
    async def submit_all() -> list[Outcome]:
        return await asyncio.gather(*(committer.submit(*one) for one in submissions), return_exceptions=True)

    return asyncio.run(submit_all())


def in_one_batch(committer: Committer, connection: Connection, *submissions: Submission) -> list[Outcome]:
    """Submitted while the committer is held up by a lock, so that it finds all of them waiting."""

    async def submit_all() -> list[Outcome]:
        connection.autocommit = False
        fetch(connection, "LOCK TABLE outbox IN EXCLUSIVE MODE; SELECT 1")
        held = asyncio.ensure_future(committer.submit([notification()]))
        await asyncio.to_thread(eventually, lambda: fetch(connection, WAITS), what="the committer waits")
        waiting = [asyncio.ensure_future(committer.submit(*one)) for one in submissions]
        asyncio.get_running_loop().call_soon(connection.rollback)  # after each of these has begun
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        await held
        return outcomes

    outcomes = asyncio.run(submit_all())
    connection.autocommit = True
    return outcomes


def test_a_repeated_command_gets_the_first_ones_ids_and_stores_nothing(committer: Committer, database: str) -> None:
    first = ([notification("a"), notification("b")], keyed("k"))

    (receipt,) = submitted(committer, first)
    (repeated,) = submitted(committer, ([notification("a"), notification("b")], keyed("k")))

    assert isinstance(receipt, Receipt)
    assert (receipt.ids, receipt.is_replay) == (ids(first), False)
    assert repeated == Receipt(receipt.ids, receipt.kept_until, is_replay=True)
    assert stored(database) == {str(one) for one in receipt.ids}


def test_another_command_under_the_same_key_is_refused(committer: Committer, database: str) -> None:
    first = good(keyed("k"))
    submitted(committer, first)

    (other,) = submitted(committer, good(keyed("k", b"two")))

    assert isinstance(other, KeyReusedError)
    assert stored(database) == {str(ids(first)[0])}


def test_without_a_key_equal_commands_are_two(committer: Committer, database: str) -> None:
    receipts = submitted(committer, good(None), good(None))

    assert [type(receipt) for receipt in receipts] == [Receipt, Receipt]
    assert len(stored(database)) == 2


def test_a_batch_of_repeated_keys_answers_each(committer: Committer, connection: Connection) -> None:
    batch = [good(keyed("a")), good(None), good(keyed("a", b"two")), good(keyed("b")), good(keyed("a"))]

    first, keyless, reused, other, repeated = in_one_batch(committer, connection, *batch)

    assert isinstance(first, Receipt)
    assert isinstance(other, Receipt)
    assert (first.ids, first.is_replay) == (ids(batch[0]), False)
    assert isinstance(keyless, Receipt)
    assert (keyless.ids, keyless.kept_until) == (ids(batch[1]), None)
    assert isinstance(reused, KeyReusedError)
    assert (other.ids, other.is_replay) == (ids(batch[3]), False)
    assert repeated == Receipt(first.ids, first.kept_until, is_replay=True)
    assert fetch(connection, KEYS) == [(2,)]
    assert fetch(connection, TRANSACTIONS) == [(2,)]  # the one that was held up, and the batch: nothing was halved


def test_repeats_are_answered_rightly_in_a_batch_that_is_halved(committer: Committer, connection: Connection) -> None:
    batch = [good(keyed("a")), bad(keyed("b")), good(keyed("a")), bad(None), good(keyed("a", b"two")), good(keyed("a"))]

    first, *others = in_one_batch(committer, connection, *batch)

    assert isinstance(first, Receipt)
    replay = Receipt(first.ids, first.kept_until, is_replay=True)
    assert first.ids == ids(batch[0])
    assert [others[1], others[4]] == [replay, replay]
    assert [type(others[at]) for at in (0, 2, 3)] == [RefusedError, RefusedError, KeyReusedError]
    assert fetch(connection, KEYS) == [(1,)]


def test_repeats_of_what_postgresql_refuses_are_refused_too_and_the_key_stays_free(
    committer: Committer, connection: Connection, database: str
) -> None:
    corrected = good(keyed("k", b"corrected"))

    first, repeated, later = in_one_batch(committer, connection, bad(keyed("k")), bad(keyed("k")), corrected)

    assert isinstance(first, RefusedError)
    assert isinstance(repeated, RefusedError)
    assert str(first) == str(repeated) == REASON
    assert isinstance(later, Receipt)
    assert (later.ids, later.is_replay) == (ids(corrected), False)
    assert str(ids(corrected)[0]) in stored(database)


def test_a_refused_command_may_be_corrected_under_its_key(committer: Committer) -> None:
    (refused,) = submitted(committer, bad(keyed("k")))
    (corrected,) = submitted(committer, good(keyed("k", b"corrected")))

    assert isinstance(refused, RefusedError)
    assert isinstance(corrected, Receipt)


def test_a_key_in_use_elsewhere_is_refused_at_once_and_alone(
    committer: Committer, connection: Connection, other: Connection
) -> None:
    find(other, keyed("busy"))

    busy, free, keyless = in_one_batch(committer, connection, good(keyed("busy")), good(keyed("free")), good(None))

    assert isinstance(busy, KeyInUseError)
    assert isinstance(free, Receipt)
    assert isinstance(keyless, Receipt)


def test_what_a_plain_transaction_remembered_is_repeated_by_the_committer(
    committer: Committer, other: Connection
) -> None:
    find(other, keyed("k"))
    first = remember(other, keyed("k"), ids(good(None)), ttl=60)
    other.commit()

    assert submitted(committer, good(keyed("k"))) == [Receipt(first.ids, first.kept_until, is_replay=True)]


def test_the_locks_of_keys_end_with_a_transaction_that_writes_nothing(committer: Committer, other: Connection) -> None:
    submitted(committer, good(keyed("k")))
    submitted(committer, good(keyed("k")))

    assert find(other, keyed("k")) is not None


@pytest.mark.parametrize("arrives", [True, False])
def test_repeats_follow_the_truth_of_an_unanswered_commit(
    committer: Committer, connection: Connection, monkeypatch: pytest.MonkeyPatch, *, arrives: bool
) -> None:
    monkeypatch.setattr(writer, "commit", loses_first_answer(arrives=arrives))
    batch = [good(keyed("k")), good(keyed("k"))]

    first, repeated = in_one_batch(committer, connection, *batch)
    (later,) = submitted(committer, good(keyed("k")))

    if arrives:
        assert isinstance(first, Receipt)
        assert repeated == later == Receipt(first.ids, first.kept_until, is_replay=True)
        assert first.ids == ids(batch[0])
        return
    assert isinstance(first, UnavailableError)
    assert isinstance(repeated, UnavailableError)
    assert isinstance(later, Receipt)
    assert not later.is_replay


def loses_first_answer(*, arrives: bool) -> Callable[[Connection, int], None]:
    """Every COMMIT that stores a key is one of these; only the first is not answered."""
    lost: list[int] = []
    real = verdict.commit

    def commit(connection: Connection, transaction_id: int) -> None:
        if lost or fetch(connection, KEYS) == [(0,)]:
            real(connection, transaction_id)
            return
        lost.append(transaction_id)
        if arrives:
            connection.commit()
        connection.close()
        raise CommitUnknownError(transaction_id, "server closed the connection unexpectedly")

    return commit


def test_repeats_survive_the_replacement_of_a_connection(committer: Committer, connection: Connection) -> None:
    submitted(committer, good(None))
    execute_and_commit(connection, CUT)

    first, repeated = submitted(committer, good(keyed("k")), good(keyed("k")))

    assert isinstance(first, Receipt)
    assert repeated == Receipt(first.ids, first.kept_until, is_replay=True)


def test_a_batch_without_keys_asks_nothing_about_keys(
    committer: Committer, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Statements(Cursor):
        executed: list[str] = []  # noqa: RUF012 - of the one test

        def execute(self, query: object, values: object = None) -> None:
            if not str(query).startswith("PREPARE"):  # once for each connection
                self.executed.append(str(query))
            super().execute(query, values)  # type: ignore[arg-type]

    opened = committer._writer._open  # noqa: SLF001 - what it sends is its promise

    def open_noting() -> Connection:
        found = opened()
        found.cursor_factory = Statements
        return found

    monkeypatch.setattr(committer._writer, "_open", open_noting)  # noqa: SLF001
    submitted(committer, good(None), good(None), good(None))
    keyless = len(Statements.executed)
    batches = len(fetch(connection, "SELECT DISTINCT transaction_id FROM outbox"))
    submitted(committer, good(keyed("k")))

    assert keyless == batches
    assert len(Statements.executed) == keyless + 4  # lock, look up, accept, remember
