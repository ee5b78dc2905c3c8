"""`herald history`: a message's events, and its state at any time."""

import json
from functools import partial
from uuid import UUID, uuid4

import pytest
from click.testing import CliRunner

from herald.outbox.moves.claim import Record, claim
from herald.outbox.moves.record import Outcome, record_outcomes
from herald.outbox.moves.send_again import send_again
from herald.outbox.operate.history import command
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch
from herald.outbox.registry import DEAD_LETTERS
from tests.outbox.connections import accepted, notification
from tests.outbox.operate.conftest import Run


@pytest.fixture
def ask(run: Run) -> Run:
    """Run the command."""
    return partial(run, command)


@pytest.fixture
def delivered(connection: Connection) -> UUID:
    (message,) = accepted(connection, notification(content="hello"))
    claim(connection, [Record(message, 1, "webhook:hooks.example.com")], lease=60)
    connection.commit()
    record_outcomes(connection, [Outcome(id=message, attempt=1, outcome="sent")], dead_letters=DEAD_LETTERS)
    connection.commit()
    return message


def recorded_at(connection: Connection, version: int) -> str:
    ((when,),) = fetch(connection, "SELECT recorded_at FROM outbox WHERE version = %s", version)
    return str(when.isoformat())


def test_events_and_state_are_shown(ask: Run, delivered: UUID) -> None:
    shown = ask(delivered)

    assert shown.exit_code == 0, shown.output
    lines = [line.split() for line in shown.stdout.splitlines()]
    assert [line[3] for line in lines if line and line[0] in {"1", "2", "3"}] == ["requested", "started", "sent"]
    assert ["status", "sent"] in lines
    assert ["destination", "webhook:hooks.example.com"] in lines


def test_the_state_is_the_one_of_that_time(connection: Connection, ask: Run, delivered: UUID) -> None:
    started = recorded_at(connection, 2)

    then = json.loads(ask(delivered, "--at", started, "--json").stdout)
    now = json.loads(ask(delivered, "--json").stdout)

    assert (then["state"]["status"], [one["version"] for one in then["events"]]) == ("sending", [1, 2])
    assert (now["state"]["status"], [one["version"] for one in now["events"]]) == ("sent", [1, 2, 3])
    assert now["state"]["data"] == {"user_id": "ada", "event": "greeting", "content": "hello"}
    assert now["events"][1]["event"]["destination"] == "webhook:hooks.example.com"


def test_what_was_sent_again_names_its_successors_and_they_name_it(
    connection: Connection, ask: Run, delivered: UUID
) -> None:
    again = [str(found.id) for _ in range(2) if (found := send_again(connection, delivered))]
    connection.commit()

    assert json.loads(ask(delivered, "--json").stdout)["sent_again"] == again
    lines = [line.split() for line in ask(delivered).stdout.splitlines()]
    assert [line for line in lines if line[:1] == ["sent"]] == [["sent", "again", one] for one in again]
    assert ["again_of", str(delivered)] in [line.split() for line in ask(again[0]).stdout.splitlines()]


def test_what_is_left_out_is_counted(connection: Connection, ask: Run, delivered: UUID) -> None:
    assert "2 later left out" in ask(delivered, "--at", recorded_at(connection, 1)).stdout


def test_a_time_before_the_first_event_is_told(connection: Connection, ask: Run, delivered: UUID) -> None:
    early = ask(delivered, "--at", "2020-01-01")

    assert early.exit_code == 1
    assert f"{delivered} began later, at {recorded_at(connection, 1)}" in early.output


def test_an_id_without_a_message_is_told(ask: Run) -> None:
    nobody = uuid4()

    missing = ask(nobody)

    assert (missing.exit_code, missing.output) == (1, f"no message has the id {nobody}\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(["17"], "'17' is not a valid UUID"), ([uuid4(), "--at", "noon"], "noon is no date such as")],
)
def test_what_is_no_id_or_no_date_is_named(ask: Run, arguments: list[object], told: str) -> None:
    wrong = ask(*arguments)

    assert wrong.exit_code == 2
    assert told in " ".join(wrong.output.split())


def test_a_database_that_is_away_is_a_sentence() -> None:
    nowhere = {"DATABASE_URL": "postgresql://postgres@127.0.0.1:1/nowhere"}

    away = CliRunner().invoke(command, [str(uuid4())], env=nowhere)

    assert away.exit_code == 1
    assert "the database does not answer" in away.output
