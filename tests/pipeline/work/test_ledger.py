"""What the pipeline writes, on PostgreSQL."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from herald.outbox.message.dates import Dates
from herald.outbox.moves.breakers import BreakerPolicy
from herald.outbox.moves.claim import Claim, Record
from herald.outbox.moves.record import Outcome
from herald.outbox.postgres.driver import Connection, OperationalError
from herald.pipeline.consume.identity import EARLIEST
from herald.pipeline.consume.record import Arrival, Request
from herald.pipeline.errors import OutageError
from herald.pipeline.work.ledger import Ledger
from herald.pipeline.work.transaction import Transaction
from tests.outbox.connections import compared, execute_and_commit
from tests.pipeline.parts import make_decoder, make_ledger
from tests.pipeline.records import (
    NOTIFICATION,
    NOW,
    accept,
    arrival,
    new_id,
    opened,
    own,
    own_headers,
    rows,
    settings_for,
    statuses,
)
from tests.servers.postgres import PostgresServer


@pytest.fixture
def ledger(database: str) -> Iterator[Ledger]:
    ledger = make_ledger(settings_for(database), patience=5.0)
    yield ledger
    ledger.close()


FIRST = Claim(1, 0, is_probe=False)
BREAKERS = BreakerPolicy(5, 5.0, 300.0)


def record_of(request: Request) -> Record:
    return Record(request.id, request.request)


def decoded(*arrivals: Arrival) -> list[Request]:
    decoder = make_decoder()
    return [decoder.decode(one) for one in arrivals]


def sent(message: UUID, attempt: int = 1) -> Outcome:
    return Outcome(id=message, attempt=attempt, outcome="sent")


def test_a_request_is_claimed_once(database: str, ledger: Ledger) -> None:
    message = new_id()
    accept(database, message)

    assert ledger.write([], decoded(own(message)), record_of).won == {message: FIRST}
    assert ledger.write([], decoded(own(message)), record_of).won == {}


def test_outcomes_share_the_transaction_of_the_next_claim(database: str, ledger: Ledger) -> None:
    first, second = new_id(), new_id()
    accept(database, first, second)
    ledger.write([], decoded(own(first)), record_of)

    ledger.write([sent(first)], decoded(own(second)), record_of)

    assert statuses(database) == {first: "sent", second: "sending"}
    writers = rows(database, "SELECT DISTINCT transaction_id FROM outbox WHERE version = 2 OR type = 'message.sent'")
    assert len(writers) == 2


def test_a_foreign_record_is_adopted_and_claimed_at_once(database: str, ledger: Ledger) -> None:
    (request,) = decoded(arrival())

    assert ledger.write([], [request], record_of).won == {request.id: FIRST}
    assert ledger.write([], [request], record_of).won == {}
    assert rows(database, "SELECT type FROM outbox ORDER BY version") == [("message.adopted",), ("message.started",)]


def test_a_foreign_record_with_a_later_date_is_adopted_and_scheduled(database: str, ledger: Ledger) -> None:
    (request,) = decoded(arrival())
    later = msgspec.structs.replace(request, dates=Dates(deliver_at=datetime.now(UTC) + timedelta(days=1), priority=9))

    assert ledger.write([], [later], record_of).won == {}

    found = rows(database, "SELECT status, request, priority, due_at > clock_timestamp() FROM messages")
    assert found == [("scheduled", 0, 9, True)]
    with compared(database):
        pass


def test_a_record_whose_message_the_database_lost_is_recovered_and_claimed(database: str, ledger: Ledger) -> None:
    message = new_id()
    traces = {"traceparent": b"00-bb-bb-01", "ce_traceparent": b"00-aa-aa-01"}
    record = arrival(headers=own_headers(message, request=2, version=5, **traces))

    assert ledger.write([], decoded(record), record_of).won == {message: FIRST}
    assert rows(database, "SELECT version, type FROM outbox ORDER BY version") == [
        (5, "message.recovered"),
        (6, "message.started"),
    ]
    assert rows(database, "SELECT traceparent FROM messages") == [("00-aa-aa-01",)]


def test_a_copy_of_a_message_that_ended_and_left_is_dropped(
    database: str, ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    left, lost = new_id(), new_id()
    with compared(database) as connection:
        execute_and_commit(connection, "UPDATE closing SET horizon = %s", str(lost))

    written = ledger.write([], decoded(own(left), own(left, b"not json"), own(lost)), record_of)

    assert (written.won, written.refused) == ({lost: FIRST}, [])
    assert statuses(database) == {lost: "sending"}
    assert "copies_dropped" in capsys.readouterr().out


@pytest.mark.parametrize("timestamp", [0, EARLIEST, NOW])
def test_what_another_producer_wrote_is_adopted_however_old_it_is(
    database: str, ledger: Ledger, timestamp: int
) -> None:
    with compared(database) as connection:
        execute_and_commit(connection, "UPDATE closing SET horizon = %s", str(new_id()))
    (request,) = decoded(arrival(timestamp=timestamp))

    assert ledger.write([], [request], record_of).won == {request.id: FIRST}


def test_a_lost_record_that_is_not_json_is_refused_with_its_reason(ledger: Ledger) -> None:
    (request,) = decoded(own(new_id(), b"not json"))

    written = ledger.write([], [request], record_of)

    assert written.won == {}
    assert written.refused == [(request, request.defect)]


def test_one_record_that_postgresql_refuses_stands_alone_in_the_end(database: str, ledger: Ledger) -> None:
    accepted = [new_id() for _ in range(5)]
    accept(database, *accepted)
    good, bad = decoded(*map(own, accepted)), too_long_for_its_index()

    written = ledger.write([], [*good[:3], bad, *good[3:]], record_of)

    assert set(written.won) == set(accepted)
    ((refused, reason),) = written.refused
    assert refused is bad
    assert "index row" in reason


def too_long_for_its_index() -> Request:
    """Passes every check of JSON; its key fits no index of PostgreSQL."""
    noise = "".join(chr(0x4E00 + (number * 7919) % 20000) for number in range(4000))
    (request,) = decoded(arrival())
    return msgspec.structs.replace(request, key=noise)


def test_outcomes_are_recorded_beside_a_record_that_postgresql_refuses(database: str, ledger: Ledger) -> None:
    message = new_id()
    accept(database, message)
    ledger.write([], decoded(own(message)), record_of)

    written = ledger.write([sent(message)], [too_long_for_its_index()], record_of)

    assert len(written.refused) == 1
    assert statuses(database) == {message: "sent"}


def test_a_cut_connection_is_replaced(database: str, ledger: Ledger, server: PostgresServer) -> None:
    message = new_id()
    accept(database, message)
    ledger.write([], [], record_of)

    server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tests'")

    assert ledger.write([], decoded(own(message)), record_of).won == {message: FIRST}


def test_an_outage_refuses_no_record(database: str) -> None:
    message = new_id()
    accept(database, message)
    attempts = away_at_first(database)
    ledger = Ledger(attempts, BREAKERS, lease=60.0, stop=threading.Event(), patience=5.0)

    written = ledger.write([], decoded(own(message)), record_of)

    assert written.won == {message: FIRST}
    assert written.refused == []
    ledger.close()


def test_an_outage_ends_the_worker_when_it_lasts() -> None:
    ledger = Ledger(never_there, BREAKERS, lease=60.0, stop=threading.Event(), patience=0.0)

    with pytest.raises(OutageError, match="refused"):
        ledger.write([], decoded(own(new_id())), record_of)


def test_nobody_waits_for_the_database_when_told_to_stop() -> None:
    stop = threading.Event()
    stop.set()

    with pytest.raises(OutageError):
        Ledger(never_there, BREAKERS, lease=60.0, stop=stop).write([], decoded(own(new_id())), record_of)


def never_there() -> Connection:
    message = "connection refused"
    raise OperationalError(message)


def away_at_first(database: str) -> Callable[[], Connection]:
    answers: list[Any] = [never_there, lambda: opened(database)]

    def connect_or_fail() -> Connection:
        answer: Connection = answers.pop(0)()
        return answer

    return connect_or_fail


@pytest.fixture
def refuse(database: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Have PostgreSQL refuse new events whose payload or stream matches a text, by any SQLSTATE."""
    monkeypatch.setattr("herald.outbox.postgres.conviction.TRY_PAUSE", 0.0)

    def refuse(pattern: str, state: str = "P0001") -> None:
        with opened(database) as connection:
            execute_and_commit(
                connection,
                "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF new::text ~ TG_ARGV[0] THEN"
                f" RAISE EXCEPTION 'nobody foresaw it' USING ERRCODE = '{state}'; END IF; RETURN new; END $$;"
                f" CREATE TRIGGER refuse BEFORE INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION refuse('{pattern}')",
            )

    return refuse


def test_an_error_of_postgresql_that_nobody_foresaw_is_the_foreign_records_that_causes_it(
    database: str, ledger: Ledger, refuse: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    accepted = [new_id() for _ in range(5)]
    accept(database, *accepted)
    (bad,) = decoded(arrival({**NOTIFICATION, "content": "poison"}))
    refuse("poison")

    written = ledger.write([], [*decoded(*map(own, accepted)), bad], record_of)

    assert set(written.won) == set(accepted)
    assert written.refused == [(bad, "PostgreSQL refuses it: nobody foresaw it")]
    assert "Traceback" in capsys.readouterr().out


def test_an_error_of_python_that_nobody_foresaw_ends_heralds_own_message_with_its_text(
    database: str, ledger: Ledger
) -> None:
    good, bad = new_id(), new_id()
    accept(database, good, bad)

    def fails(request: Request) -> Record:
        if request.id == bad:
            raise KeyError("nobody foresaw it")
        return record_of(request)

    written = ledger.write([], decoded(own(good), own(bad)), fails)

    assert written.won == {good: FIRST, bad: FIRST}
    assert written.replaced[bad].defect == "KeyError: 'nobody foresaw it'"


def test_above_a_limit_in_a_minute_no_message_is_ended_by_the_same_error(
    database: str, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("herald.outbox.postgres.conviction.MOST_CONVICTIONS", 2)
    bad = [new_id() for _ in range(5)]
    accept(database, *bad)

    def fails(request: Request) -> Record:
        raise KeyError(str(request.id))

    found = [ledger.write([], decoded(own(one)), fails) for one in bad]

    assert [len(one.replaced) for one in found] == [1] * 2 + [0] * 3
    assert list(statuses(database).values()).count("pending") == 3
    assert [one.refused for one in found] == [[]] * len(bad)


@pytest.mark.parametrize("state", ["42501", "42703", "XX000"])
def test_what_fails_three_times_alone_while_others_succeed_is_set_aside_whatever_the_error(
    database: str, ledger: Ledger, refuse: Callable[..., None], state: str
) -> None:
    good, bad = new_id(), new_id()
    accept(database, good, bad)
    (foreign,) = decoded(arrival({**NOTIFICATION, "content": "poison"}))
    refuse(f"poison|{bad}", state)

    written = ledger.write([], [*decoded(own(good), own(bad)), foreign], record_of)

    assert (set(written.won), [one for one, _ in written.refused]) == ({good}, [foreign])
    assert statuses(database) == {good: "sending", bad: "pending"}


@pytest.mark.parametrize("change", ["RENAME COLUMN due_at TO due", "RENAME TO mails"])
def test_a_changed_schema_refuses_no_record(database: str, ledger: Ledger, change: str) -> None:
    message = new_id()
    accept(database, message)
    requests = [*decoded(own(message)), *decoded(arrival())]
    impatient = make_ledger(settings_for(database), patience=0.0)
    with opened(database) as connection:
        execute_and_commit(connection, f"ALTER TABLE messages {change}")

    with pytest.raises(OutageError):
        impatient.write([], requests, record_of)
    with opened(database) as connection:
        execute_and_commit(
            connection,
            "ALTER TABLE mails RENAME TO messages"
            if "mails" in change
            else "ALTER TABLE messages RENAME COLUMN due TO due_at",
        )

    written = ledger.write([], requests, record_of)
    assert (len(written.won), written.refused) == (2, [])
    impatient.close()


def test_an_outcome_whose_words_are_refused_is_recorded_without_them(
    database: str, ledger: Ledger, refuse: Callable[..., None]
) -> None:
    good, bad = new_id(), new_id()
    accept(database, good, bad)
    ledger.write([], decoded(own(good), own(bad)), record_of)
    refuse("poison")

    ledger.write([sent(good), Outcome(id=bad, attempt=1, outcome="dead", reason="poison")], [], record_of)

    assert statuses(database) == {good: "sent", bad: "dead"}


def test_the_probe_writes_nothing(database: str) -> None:
    with opened(database) as connection:
        Transaction(BREAKERS, lease=60.0).probe(connection)

    assert rows(database, "SELECT id FROM messages UNION ALL SELECT stream_id FROM outbox") == []
    assert rows(database, "SELECT destination FROM breakers") == []


def test_what_was_claimed_before_an_outage_is_not_forgotten(database: str, ledger: Ledger) -> None:
    """The connection is cut in the middle of the halves."""
    first, second, bad = new_id(), new_id(), new_id()
    accept(database, first, second, bad)
    cuts = [True]

    def cuts_once(request: Request) -> Record:
        if request.id == bad:
            raise KeyError("bad")
        if request.id == second and cuts and statuses(database)[first] == "sending":
            cuts.clear()
            raise OperationalError("the connection is gone")
        return record_of(request)

    written = ledger.write([], decoded(own(first), own(second), own(bad)), cuts_once)

    assert set(written.won) == {first, second, bad}
    assert set(statuses(database).values()) == {"sending"}
