import threading
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import msgspec
import pytest

from herald.outbox.moves.accept import make_acceptance
from herald.outbox.moves.adopt import Foreign, Lost, adopt, recover, unknown
from herald.outbox.moves.cancel import cancel
from herald.outbox.moves.claim import Claim, Record, claim
from herald.outbox.moves.record import Outcome, record_outcomes
from herald.outbox.postgres.driver import Connection, errors
from herald.outbox.postgres.statements import execute, fetch
from herald.outbox.registry import DEAD_LETTERS
from tests.outbox.connections import (
    accepted,
    connected,
    execute_and_commit,
    notification,
    status_of,
    types_of,
)
from tests.servers.eventually import eventually


def test_a_claim_starts_an_attempt_with_a_lease(connection: Connection) -> None:
    (message,) = accepted(connection, notification())

    winners = claim(connection, [Record(message, 1)], lease=60)

    assert winners == {message: Claim(1, 0, is_probe=False)}
    assert types_of(connection, message) == ["requested", "started"]
    ((seconds,),) = fetch(connection, "SELECT extract(epoch FROM due_at - updated_at)::float FROM messages")
    assert seconds == 60


@pytest.mark.parametrize("request_number", [0, 2])
def test_a_record_of_another_request_starts_nothing(connection: Connection, request_number: int) -> None:
    (message,) = accepted(connection, notification())

    assert claim(connection, [Record(message, request_number)], lease=60) == {}
    assert status_of(connection, message) == "pending"


def test_a_record_that_comes_twice_starts_one_attempt(connection: Connection) -> None:
    (message,) = accepted(connection, notification())

    assert claim(connection, [Record(message, 1), Record(message, 1)], lease=60) == {
        message: Claim(1, 0, is_probe=False)
    }
    assert claim(connection, [Record(message, 1)], lease=60) == {}


def test_of_two_workers_one_wins_each_message(connection: Connection, database: str) -> None:
    messages = accepted(connection, *(notification(f"user {number}") for number in range(50)))
    won: list[dict[UUID, Claim]] = []

    def work(records: list[Record]) -> None:
        with connected(database) as own:
            won.append(claim(own, records, lease=60))
            own.commit()

    records = [Record(message, 1) for message in messages]
    workers = [threading.Thread(target=work, args=(order,)) for order in (records, records[::-1])]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert sorted(len(part) for part in won) == [0, 50] or not won[0].keys() & won[1].keys()
    assert won[0].keys() | won[1].keys() == set(messages)


def test_a_claim_leaves_what_a_callers_transaction_holds_and_takes_the_others(
    connection: Connection, database: str
) -> None:
    messages = accepted(connection, *(notification(f"user {number}") for number in range(50)))
    cancel(connection, messages[0])

    with connected(database) as worker:
        execute(worker, "SET lock_timeout = '5s'")
        won = claim(worker, [Record(message, 1) for message in messages], lease=60)
        worker.commit()
    connection.commit()

    assert won.keys() == set(messages[1:])
    assert status_of(connection, messages[0]) == "cancelled"


def test_outcomes_settle_their_attempts(connection: Connection) -> None:
    sent, failed, dead = accepted(connection, notification(), notification(), notification())
    claim(connection, [Record(message, 1) for message in (sent, failed, dead)], lease=60)

    record_outcomes(
        connection,
        [
            Outcome(id=sent, attempt=1, outcome="sent"),
            Outcome(id=failed, attempt=1, outcome="failed", reason="busy", retry_in=5.0),
            Outcome(id=dead, attempt=1, outcome="dead", reason="gone"),
        ],
        dead_letters=DEAD_LETTERS,
    )

    assert [status_of(connection, message) for message in (sent, failed, dead)] == ["sent", "failed", "dead"]
    ((topic, payload),) = fetch(connection, "SELECT topic, payload FROM outbox WHERE type = 'message.dead_lettered'")
    assert topic == DEAD_LETTERS
    assert payload == {"id": str(dead), "topic": "notifications", "attempt": 1, "reason": "gone"}


def test_an_outcome_after_the_end_is_late_and_changes_nothing(connection: Connection) -> None:
    (message,) = accepted(connection, notification())
    claim(connection, [Record(message, 1)], lease=60)
    record_outcomes(connection, [Outcome(id=message, attempt=1, outcome="sent")], dead_letters=DEAD_LETTERS)

    late = Outcome(id=message, attempt=1, outcome="failed", reason="timeout", retry_in=1.0)
    record_outcomes(connection, [late], dead_letters=DEAD_LETTERS)

    assert status_of(connection, message) == "sent"
    assert types_of(connection, message) == ["requested", "started", "sent", "late"]


def test_adoption_happens_once(connection: Connection) -> None:
    foreign = foreign_one()

    adopt(connection, [foreign])
    adopt(connection, [foreign])

    assert types_of(connection, foreign.id) == ["adopted"]
    assert claim(connection, [Record(foreign.id, 1)], lease=60) == {foreign.id: Claim(1, 0, is_probe=False)}


def test_what_two_adopt_at_once_is_adopted_once(connection: Connection, database: str) -> None:
    first, second = foreign_one(), foreign_one()
    adopt(connection, [first])
    with connected(database) as other, ThreadPoolExecutor(1) as pool:
        other.autocommit = True
        adopting = pool.submit(adopt, other, [first, second])
        blocked = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        eventually(lambda: fetch(connection, blocked) == [(1,)], 10)
        connection.commit()
        adopting.result()

    assert [types_of(connection, one.id) for one in (first, second)] == [["adopted"], ["adopted"]]


def test_what_is_there_twice_for_another_reason_is_an_error_and_not_tried_for_ever(connection: Connection) -> None:
    twice, stale = foreign_one(), foreign_one()
    execute_and_commit(connection, "SET statement_timeout = '5s'")
    execute_and_commit(connection, "INSERT INTO unfinished (id) VALUES (%s)", str(stale.id))

    for batch in ([twice, twice], [stale]):
        with pytest.raises(errors.UniqueViolation):
            adopt(connection, batch)
        connection.rollback()
    execute_and_commit(connection, "DELETE FROM unfinished")


def test_what_the_log_has_is_known_though_its_row_is_gone(connection: Connection) -> None:
    foreign = foreign_one()
    adopt(connection, [foreign])
    execute_and_commit(connection, "SET statement_timeout = '5s'")
    execute_and_commit(connection, "CREATE TABLE taken_away AS SELECT * FROM messages; DELETE FROM messages")

    adopt(connection, [foreign])

    assert types_of(connection, foreign.id) == ["adopted"]
    execute_and_commit(connection, "INSERT INTO messages SELECT * FROM taken_away")


def foreign_one() -> Foreign:
    data = msgspec.Raw(b'{"a": 1}')
    return Foreign(id=notification().id, topic="notifications", key="bob", data=data, source="kafka:x/0/7")


def test_what_the_database_lost_comes_back_under_its_own_ids(connection: Connection) -> None:
    (known,) = accepted(connection, notification())
    gone = make_acceptance("notifications", "eve", b"{}").id
    lost = Lost(id=gone, version=4, topic="notifications", key="eve", data=msgspec.Raw(b"{}"), request=2)

    assert unknown(connection, [known, gone]) == {gone}
    recover(connection, [lost])
    recover(connection, [lost])

    assert claim(connection, [Record(gone, 1), Record(gone, 2)], lease=60) == {gone: Claim(1, 0, is_probe=False)}
    assert types_of(connection, gone) == ["recovered", "started"]


def test_an_unknown_message_cannot_be_claimed(connection: Connection) -> None:
    assert claim(connection, [Record(uuid4(), 1)], lease=60) == {}
