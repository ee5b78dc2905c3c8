"""How many messages an owner may send: counted outside the callers' transactions, and nobody waits."""

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from threading import Barrier
from time import monotonic

import pytest

from herald.outbox.operate.doctor.finding import ok
from herald.outbox.postgres.driver import Connection, PostgresError
from herald.outbox.postgres.statements import execute, fetch_value
from tests.outbox.acceptance.sql.callers import SEND, Caller, refusal, send
from tests.outbox.connections import connected
from tests.outbox.operate.doctor.findings import look_once
from tests.servers.eventually import eventually

AT_ONCE = 1.0  # seconds
DEADLINE = 10.0  # seconds
ONE = ("generic_topic", "{}", None, None)
MANY = "SELECT herald.send_many(%s)::text"
NEVER = 0.001  # messages per second: none within a test


@pytest.fixture(autouse=True)
def limited(caller: Caller, herald: Connection) -> None:
    allow(herald, caller.name, per_second=NEVER, burst=3)


def allow(herald: Connection, owner: str, *, per_second: float, burst: int) -> None:
    execute(
        herald,
        "INSERT INTO sender_rates VALUES (%s, %s, %s) ON CONFLICT (owner)"
        " DO UPDATE SET per_second = excluded.per_second, burst = excluded.burst",
        owner,
        per_second,
        burst,
    )


def many(count: int) -> str:
    return json.dumps([{"topic": "generic_topic", "data": {}}] * count)


def test_a_burst_passes_and_what_comes_beyond_is_refused(connection: Connection, caller: Caller) -> None:
    for _ in range(3):
        send(connection)
        connection.commit()

    error = refusal(connection, SEND, *ONE)

    assert (error.pgcode, error.diag.column_name, error.diag.message_detail) == ("ZH429", "rate", "rate")
    assert error.diag.message_primary == f"rate: sql:{caller.name} sends more than 0.001 messages a second"
    wait = float(str(error.diag.message_hint).removeprefix("try again in ").partition(" s, ")[0])
    assert 0 < wait <= 1000


def test_what_was_refused_passes_when_its_time_has_come(
    connection: Connection, caller: Caller, herald: Connection
) -> None:
    allow(herald, caller.name, per_second=0.5, burst=1)
    send(connection)
    connection.commit()
    assert refusal(connection, SEND, *ONE).pgcode == "ZH429"

    eventually(lambda: passes(connection), DEADLINE, what="a slot is free")


def passes(connection: Connection) -> bool:
    try:
        send(connection)
    except PostgresError as error:
        connection.rollback()
        if error.pgcode != "ZH429":
            raise
        return False
    connection.commit()
    return True


def test_what_is_rolled_back_counts(connection: Connection, herald: Connection) -> None:
    for _ in range(3):
        send(connection)
        connection.rollback()

    assert refusal(connection, SEND, *ONE).pgcode == "ZH429"
    assert fetch_value(herald, "SELECT count(*) FROM messages") == 0


def test_a_transaction_that_stays_open_holds_up_nobody(
    caller: Caller, connection: Connection, herald: Connection
) -> None:
    send(connection)
    begun = monotonic()
    with caller.connected() as other:
        send(other)
        allow(herald, caller.name, per_second=NEVER, burst=1)
        assert refusal(other, SEND, *ONE).pgcode == "ZH429"
        execute(herald, "DELETE FROM sender_rates")
        send(other)
        allow(herald, caller.name, per_second=NEVER, burst=1)
        assert refusal(other, SEND, *ONE).pgcode == "ZH429"

    assert monotonic() - begun < AT_ONCE


def test_the_logins_of_an_owner_share_its_rate(caller: Caller, another: Caller, herald: Connection) -> None:
    for one in (caller, another):
        execute(herald, "INSERT INTO senders (login, owner) VALUES (%s, 'shop')", one.name)
    with caller.connected() as old, another.connected() as new:
        for connection in (old, new, old, new):
            send(connection)
            connection.commit()
        allow(herald, "shop", per_second=NEVER, burst=1)
        send(old)
        old.commit()

        assert refusal(new, SEND, *ONE).pgcode == "ZH429"


@pytest.mark.parametrize("statement", ["SELECT herald.notify('{a,b}', 'e', 'c')::text", MANY])
def test_each_message_counts(connection: Connection, statement: str) -> None:
    fetch_value(connection, statement, *([many(2)] if statement == MANY else []))
    send(connection)
    connection.commit()

    assert refusal(connection, SEND, *ONE).pgcode == "ZH429"


def test_a_call_of_more_than_a_burst_is_too_large_and_counts_nothing(connection: Connection, caller: Caller) -> None:
    error = refusal(connection, MANY, many(4))

    assert (error.pgcode, error.diag.column_name) == ("ZH413", "rate")
    assert error.diag.message_primary == f"rate: 4 messages at once, the limit of sql:{caller.name} is 3"
    fetch_value(connection, MANY, many(3))


def test_a_key_that_is_repeated_counts_once(connection: Connection) -> None:
    for _ in range(5):
        send(connection, options='{"idempotency_key": "once"}')
        connection.commit()
    for _ in range(2):
        send(connection)


def test_a_counter_that_is_too_far_ahead_begins_anew(
    connection: Connection, caller: Caller, herald: Connection
) -> None:
    """After a lower rate, or a clock that was set back."""
    send(connection)
    ahead = "SELECT setval(c, pg_sequence_last_value(c) + %s) FROM (SELECT sender_rate_counter(%s)::regclass AS c) AS s"
    execute(herald, ahead, 100, caller.name)
    assert refusal(connection, SEND, *ONE).pgcode == "ZH429"

    execute(herald, ahead, 1000, caller.name)

    for _ in range(3):
        send(connection)
    assert refusal(connection, SEND, *ONE).pgcode == "ZH429"


def test_a_rate_that_is_changed_counts_at_once(connection: Connection, caller: Caller, herald: Connection) -> None:
    for per_second in (1e6, NEVER, 0.01, NEVER):
        allow(herald, caller.name, per_second=per_second, burst=2)
        send(connection)
        send(connection)
        assert passes(connection) == (per_second == 1e6)


def test_thirty_two_callers_keep_to_a_rate_and_nobody_waits(caller: Caller, herald: Connection) -> None:
    rate, burst, seconds, callers = 200.0, 20, 4.0, 32
    allow(herald, caller.name, per_second=rate, burst=burst)
    ready = Barrier(callers)

    with ExitStack() as stack, ThreadPoolExecutor(callers) as pool:
        connections = [stack.enter_context(caller.connected()) for _ in range(callers)]
        calls = [pool.submit(call, one, ready, seconds, number % 2) for number, one in enumerate(connections)]
        found = sum((one.result()[0] for one in calls), Counter[str]())
        longest = max(one.result()[1] for one in calls)

    passed = found["sent"] + found["rolled back"]
    assert found["rolled back"] > 0
    assert found["ZH429"] > 0
    assert rate * seconds * 0.97 < passed <= (rate * seconds + burst) * 1.03
    assert longest < AT_ONCE
    assert fetch_value(herald, "SELECT count(*) FROM messages") == found["sent"]


def call(connection: Connection, ready: Barrier, seconds: float, rolls_back: int) -> tuple[Counter[str], float]:
    """For so long as fast as it can; what became of the calls, and how long the longest took."""
    found, longest = Counter[str](), 0.0
    ready.wait()
    end = (now := monotonic()) + seconds
    while now < end:
        try:
            send(connection)
        except PostgresError as error:
            found[str(error.pgcode)] += 1
            connection.rollback()
        else:
            connection.rollback() if rolls_back else connection.commit()
            found["rolled back" if rolls_back else "sent"] += 1
        longest, now = max(longest, monotonic() - now), monotonic()
    return found, longest


def test_a_counter_belongs_to_herald_alone(database: str, caller: Caller, connection: Connection) -> None:
    assert look_once(database, "roles") == ok("each role has what it needs and nothing else")
    with connected(database) as owner:
        counter = fetch_value(owner, "SELECT sender_rate_counter(%s)", caller.name)

    error = refusal(connection, f"SELECT setval('herald.{counter}', 1)")

    assert error.pgcode == "42501"


@pytest.mark.parametrize(("per_second", "burst"), [(0, 1), (-1, 1), ("NaN", 1), (10, 0), ("Infinity", 1)])
def test_a_rate_is_positive(herald: Connection, per_second: object, burst: int) -> None:
    error = refusal(herald, "INSERT INTO sender_rates VALUES ('x', %s, %s) RETURNING owner", per_second, burst)

    assert error.diag.constraint_name == "sender_rates_are_positive"
