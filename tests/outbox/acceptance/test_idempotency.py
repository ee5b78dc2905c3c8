"""Keys in plain transactions: who finds what, who is turned away, and how tables take turns."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from herald.outbox.acceptance.expired_keys import empty_expired_keys
from herald.outbox.acceptance.idempotency import (
    TABLES,
    KeyInUseError,
    KeyReusedError,
    Receipt,
    RequestKey,
    find,
    find_many,
    make_request_key,
    remember,
)
from herald.outbox.postgres.connections import connect, read_clock
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch
from tests.outbox.connections import connected, execute_and_commit, make_settings
from tests.servers.eventually import eventually

TTL = 3600.0
EVEN, ODD = TABLES
DAY = "interval '1 day'"


@pytest.fixture
def other(database: str) -> Iterator[Connection]:
    with connected(database) as connection:
        yield connection


@pytest.fixture
def scheduler(database: str) -> Iterator[Connection]:
    with connected(database) as connection:
        connection.autocommit = True
        yield connection


def request(key: str = "k", *, method: str = "POST", path: str = "/messages", body: bytes = b"{}") -> RequestKey:
    return make_request_key(key, method=method, path=path, body=body)


def remembered(connection: Connection, request_key: RequestKey, *, ttl: float = TTL) -> Receipt:
    assert find(connection, request_key) is None
    receipt = remember(connection, request_key, [uuid4(), uuid4()], ttl=ttl)
    connection.commit()
    return receipt


def store(connection: Connection, table: str, request_key: RequestKey, *, kept: str) -> UUID:
    """A row as if written earlier; `kept` is what its date is from now."""
    stored = uuid4()
    execute_and_commit(
        connection,
        f"INSERT INTO {table} VALUES (%s, %s, %s::uuid[], clock_timestamp() + {kept})",
        str(request_key.key),
        str(request_key.fingerprint),
        [str(stored)],
    )
    return stored


def count(connection: Connection) -> dict[str, int]:
    return {table: fetch(connection, f"SELECT count(*) FROM {table}")[0][0] for table in TABLES}


def test_the_first_answer_is_found_again_with_its_ids_in_order(connection: Connection, other: Connection) -> None:
    first = remembered(connection, request())

    assert find(other, request()) == Receipt(first.ids, first.kept_until, is_replay=True)


@pytest.mark.parametrize(
    "changed", [request(body=b"{ }"), request(path="/notifications"), request(method="PUT"), request(path="/messages/")]
)
def test_another_request_under_the_same_key_is_refused(connection: Connection, changed: RequestKey) -> None:
    remembered(connection, request())

    with pytest.raises(KeyReusedError):
        find(connection, changed)


def test_parts_of_a_request_cannot_pass_for_each_other() -> None:
    assert request(path="/a", body=b"b") != request(path="/ab", body=b"")


def test_a_key_that_another_transaction_handles_is_in_use_at_once(connection: Connection, other: Connection) -> None:
    find(connection, request())

    with pytest.raises(KeyInUseError):
        find(other, request())


def test_a_key_is_free_again_after_a_rollback(connection: Connection, other: Connection) -> None:
    find(connection, request())
    remember(connection, request(), [uuid4()], ttl=TTL)
    connection.rollback()

    assert find(other, request()) is None


def test_the_look_up_sees_what_the_last_holder_committed_just_before_the_lock_was_had(
    database: str, connection: Connection
) -> None:
    """Whatever isolation the role says: the statement after the lock has a snapshot of its own."""
    execute_and_commit(connection, "ALTER ROLE CURRENT_USER SET default_transaction_isolation = 'repeatable read'")
    try:
        with closing(connect(make_settings(database), "test")) as late:
            fetch(late, "SELECT 1")  # begins its transaction
            first = remembered(connection, request())

            assert find(late, request()) == Receipt(first.ids, first.kept_until, is_replay=True)
    finally:
        execute_and_commit(connection, "ALTER ROLE CURRENT_USER RESET default_transaction_isolation")


def test_many_keys_are_told_apart(connection: Connection, other: Connection) -> None:
    first = remembered(connection, request("known"))
    find(other, request("busy"))
    asked = [request("known"), request("known", body=b"[]"), request("busy"), request("new")]

    found = find_many(connection, asked)

    assert found[asked[0]] == Receipt(first.ids, first.kept_until, is_replay=True)
    assert [type(found[one]) for one in asked[1:3]] == [KeyReusedError, KeyInUseError]
    assert asked[3] not in found


def test_an_answer_is_kept_for_the_time_that_is_set_by_the_clock_of_the_database(connection: Connection) -> None:
    before = read_clock(connection)
    receipt = remembered(connection, request(), ttl=90.5)
    after = read_clock(connection)

    assert receipt.kept_until is not None
    assert before <= receipt.kept_until - timedelta(seconds=90.5) <= after


@pytest.mark.parametrize("table", TABLES)
def test_an_expired_row_is_not_found_and_gives_way_to_the_same_key(connection: Connection, table: str) -> None:
    store(connection, table, request(body=b"old"), kept="interval '-1 microsecond'")

    first = remembered(connection, request())

    assert find(connection, request()) == Receipt(first.ids, first.kept_until, is_replay=True)


@pytest.mark.parametrize("table", TABLES)
def test_a_row_is_found_until_its_own_date_whichever_table_is_written(connection: Connection, table: str) -> None:
    stored = store(connection, table, request(), kept="interval '1 hour'")

    found = find(connection, request())

    assert found is not None
    assert found.ids == [stored]


def test_of_two_rows_of_one_key_the_later_one_answers(connection: Connection) -> None:
    store(connection, EVEN, request(body=b"earlier"), kept="interval '1 hour'")
    later = store(connection, ODD, request(), kept="interval '2 hours'")

    found = find(connection, request())

    assert found is not None
    assert found.ids == [later]


def test_tables_take_turns_that_last_twice_as_long_as_keys_are_kept(connection: Connection) -> None:
    """The turn is found from a time so short or long that the present falls into an even or an odd one."""
    ((now,),) = fetch(connection, "SELECT extract(epoch FROM clock_timestamp())::float")
    in_even_turn, in_odd_turn = now * 10, now / 3  # turns number 0 and 1

    remembered(connection, request("even"), ttl=in_even_turn)
    assert count(connection) == {EVEN: 1, ODD: 0}
    remembered(connection, request("odd"), ttl=in_odd_turn)
    assert count(connection) == {EVEN: 1, ODD: 1}


@pytest.mark.parametrize(("kept", "left"), [("interval '-1 second'", 0), ("interval '1 hour'", 2)])
def test_a_table_is_emptied_once_its_last_row_has_expired(
    connection: Connection, scheduler: Connection, kept: str, left: int
) -> None:
    for table in TABLES:
        store(connection, table, request("old"), kept=f"-{DAY}")
        store(connection, table, request("last"), kept=kept)

    empty_expired_keys(scheduler)

    assert count(connection) == {EVEN: left, ODD: left}


def test_the_files_of_an_emptied_table_are_gone_not_merely_its_rows(
    connection: Connection, scheduler: Connection
) -> None:
    store(connection, EVEN, request(), kept=f"-{DAY}")

    empty_expired_keys(scheduler)

    assert fetch(connection, "SELECT pg_relation_size(%s)", EVEN) == [(0,)]


def test_an_empty_table_is_left_alone(connection: Connection, scheduler: Connection) -> None:
    files = "SELECT array_agg(relfilenode ORDER BY relname) FROM pg_class WHERE relname = ANY (%s)"
    before = fetch(connection, files, list(TABLES))

    empty_expired_keys(scheduler)

    assert fetch(connection, files, list(TABLES)) == before


def test_a_locked_table_is_left_to_the_next_turn(
    connection: Connection, other: Connection, scheduler: Connection
) -> None:
    for table in TABLES:
        store(connection, table, request(), kept=f"-{DAY}")
    fetch(other, f"SELECT 1 FROM {EVEN}")  # as a backup would, for as long as it takes

    empty_expired_keys(scheduler)
    other.rollback()
    after_the_first_turn = count(connection)
    connection.rollback()
    empty_expired_keys(scheduler)

    assert after_the_first_turn == {EVEN: 1, ODD: 0}
    assert count(connection) == {EVEN: 0, ODD: 0}


def test_a_row_that_comes_while_the_lock_is_waited_for_keeps_the_table(
    connection: Connection, other: Connection, scheduler: Connection
) -> None:
    execute_and_commit(connection, "ALTER FUNCTION idempotency_keys_empty(regclass) SET lock_timeout = '30s'")
    for table in TABLES:
        store(connection, table, request("old"), kept=f"-{DAY}")
    find(other, request())
    remember(other, request(), [uuid4()], ttl=TTL)

    with ThreadPoolExecutor() as threads:
        emptying = threads.submit(empty_expired_keys, scheduler)
        eventually(lambda: waits_for_a_lock(connection), what="the table is to be emptied")
        other.commit()
        emptying.result()

    assert sorted(count(connection).values()) == [0, 2]


def waits_for_a_lock(connection: Connection) -> bool:
    return bool(fetch(connection, "SELECT FROM pg_locks WHERE NOT granted"))
