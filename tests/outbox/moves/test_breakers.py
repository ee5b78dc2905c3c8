"""Breakers in the database: counted, opened, probed and closed by reports of outcomes."""

from typing import Any
from uuid import UUID

from herald.outbox.moves.breakers import BreakerPolicy, report_outcomes
from herald.outbox.moves.record import Outcome
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import execute, fetch
from tests.pipeline.records import new_id

HOOK = "webhook:hooks.example.com"
POLICY = BreakerPolicy(failures=3, base=10.0, cap=60.0)


def outcome(kind: Any = "failed", *, message: UUID | None = None, is_fault: bool | None = None) -> Outcome:
    is_blamed = kind == "failed" if is_fault is None else is_fault
    return Outcome(id=message or new_id(), attempt=1, outcome=kind, reason="down", destination=HOOK, is_fault=is_blamed)


def report(connection: Connection, *outcomes: Outcome) -> None:
    report_outcomes(connection, outcomes, POLICY)
    connection.commit()


def state(connection: Connection) -> tuple[Any, ...] | None:
    """Failures, whether it is open, whether it recovers."""
    rows = fetch(connection, "SELECT failures, opened_at IS NOT NULL, closed_at IS NOT NULL FROM breakers")
    return rows[0] if rows else None


def seconds_to_probe(connection: Connection) -> float:
    ((seconds,),) = fetch(connection, "SELECT extract(epoch FROM probe_at - clock_timestamp())::float FROM breakers")
    return float(seconds)


def opened(connection: Connection, *, probe: UUID | None = None) -> None:
    report(connection, *(outcome() for _ in range(3)))
    execute(
        connection,
        "UPDATE breakers SET probe_id = %s, probe_until = clock_timestamp() + interval '1 minute'",
        str(probe) if probe else None,
    )
    connection.commit()


def test_failures_in_a_row_open_it(connection: Connection) -> None:
    report(connection, outcome(), outcome())
    assert state(connection) == (2, False, False)

    report(connection, outcome())

    assert state(connection) == (3, True, False)
    assert 9 < seconds_to_probe(connection) <= 10


def test_a_success_forgets_the_failures_before_it(connection: Connection) -> None:
    report(connection, outcome(), outcome())

    report(connection, outcome("sent"))

    assert state(connection) is None


def test_within_a_batch_only_what_came_after_the_last_success_counts(connection: Connection) -> None:
    report(connection, outcome(), outcome(), outcome("sent"), outcome())

    assert state(connection) == (1, False, False)


def test_a_refusal_of_the_message_shows_that_the_destination_works(connection: Connection) -> None:
    report(connection, outcome(), outcome(), outcome("dead", is_fault=False))

    assert state(connection) is None


def test_a_failed_probe_puts_off_the_next_one_twice_as_long_up_to_the_cap(connection: Connection) -> None:
    waits = []
    opened(connection)
    for _ in range(4):
        probe = new_id()
        execute(connection, "UPDATE breakers SET probe_id = %s", str(probe))
        report(connection, outcome(message=probe))
        waits.append(round(seconds_to_probe(connection)))

    assert waits == [20, 40, 60, 60]
    assert state(connection) == (3, True, False)


def test_a_failure_that_is_no_probe_changes_nothing_while_it_is_open(connection: Connection) -> None:
    opened(connection, probe=new_id())
    before = fetch(connection, "SELECT * FROM breakers")

    report(connection, outcome())

    assert fetch(connection, "SELECT * FROM breakers") == before


def test_a_probe_that_was_never_made_gives_its_place_back(connection: Connection) -> None:
    probe = new_id()
    opened(connection, probe=probe)

    report(connection, outcome("postponed", message=probe))

    assert fetch(connection, "SELECT probe_id, probe_until, opened_at IS NOT NULL FROM breakers") == [
        (None, None, True)
    ]


def test_a_success_closes_it_and_the_ramp_begins(connection: Connection) -> None:
    opened(connection)

    report(connection, outcome("sent"))

    assert state(connection) == (0, False, True)


def test_it_opens_again_while_it_recovers(connection: Connection) -> None:
    opened(connection)
    report(connection, outcome("sent"))

    report(connection, *(outcome() for _ in range(3)))

    assert state(connection) == (3, True, False)
