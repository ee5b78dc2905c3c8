"""`herald dead-letters`, `herald pause` and `herald resume`, as an operator types them."""

import json
from functools import partial

import pytest
from click.testing import CliRunner

from herald.outbox.operate.dead_letters import command
from herald.outbox.operate.history import command as history
from herald.outbox.operate.opening import person
from herald.outbox.operate.pause import pause_command, resume_command
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch
from tests.outbox.connections import status_of
from tests.outbox.desk.conftest import Bury, bury, connection
from tests.outbox.operate.conftest import Run
from tests.pipeline.records import new_id

__all__ = ["bury", "connection"]  # fixtures of the desk


@pytest.fixture
def run(run: Run) -> Run:
    """Of this command."""
    return partial(run, command)


def test_the_list_shows_groups_and_single_letters(run: Run, bury: Bury) -> None:
    messages = bury("HTTP 500 (attempt 8 of 8)", 3)

    groups, letters = run("list"), run("list", "--all")

    assert "HTTP 500" in groups.output
    assert all(str(message) in letters.output for message in messages)


@pytest.mark.parametrize("arguments", [("list",), ("list", "--all"), ("requeue",)])
def test_errors_are_shown_as_they_are(run: Run, bury: Bury, arguments: tuple[str, ...]) -> None:
    bury("expected [/b] after [red] :smile:")

    assert "expected [/b] after [red] :smile:" in run(*arguments).output


def test_the_list_is_json_for_programs(run: Run, bury: Bury) -> None:
    bury("HTTP 500", 2)
    bury("HTTP 404")

    found = json.loads(run("list", "--error", "HTTP 500", "--json").output)

    assert [(one["error"], one["count"]) for one in found] == [("HTTP 500", 2)]


def test_one_is_shown_with_its_history(run: Run, bury: Bury) -> None:
    (message,) = bury("HTTP 500")

    shown = run("show", message).output

    assert "reason       HTTP 500" in shown
    assert '"content": "hello"' in shown
    assert [line.split()[3] for line in shown.partition("history\n")[2].splitlines()] == [
        "requested",
        "started",
        "dead_lettered",
    ]


def test_named_ones_are_requeued_at_once(run: Run, connection: Connection, bury: Bury) -> None:
    (message,) = bury()

    done, again = run("requeue", message), run("requeue", message)

    assert (done.exit_code, done.output) == (0, "1 requeued\n")
    assert status_of(connection, message) == "pending"
    assert (again.exit_code, f"not on the desk: {message}" in again.output) == (1, True)


@pytest.mark.parametrize(
    ("decision", "status"), [(("requeue",), "pending"), (("discard", "--reason", "over"), "discarded")]
)
def test_a_name_that_is_not_on_the_desk_does_not_undo_the_others(
    run: Run, connection: Connection, bury: Bury, decision: tuple[str, ...], status: str
) -> None:
    (message,), unknown = bury(), new_id()

    result = run(*decision, message, unknown)

    assert (result.exit_code, f"not on the desk: {unknown}" in result.output) == (1, True)
    assert status_of(connection, message) == status


def test_many_are_only_counted_before_yes(run: Run, connection: Connection, bury: Bury) -> None:
    bury(count=3)

    for arguments in (("requeue", "--channel", "webhook"), ("discard", "--channel", "webhook", "--reason", "over")):
        assert "3 would be" in run(*arguments).output

    assert fetch(connection, "SELECT DISTINCT status FROM messages") == [("dead",)]
    assert fetch(connection, "SELECT count(*) FROM requeues") == [(0,)]


def test_many_are_requeued_by_a_job(run: Run, connection: Connection, bury: Bury) -> None:
    bury(count=3)

    done = run("requeue", "--channel", "webhook", "--rate", "50", "--yes")

    assert "3 messages at 50 per second" in done.output
    assert fetch(connection, "SELECT total, rate, filter FROM requeues") == [(3, 50.0, {"channel": "webhook"})]


def test_many_are_discarded_with_a_reason(run: Run, connection: Connection, bury: Bury) -> None:
    bury(count=3)

    assert run("discard", "--channel", "webhook", "--reason", "over", "--yes").output == "3 discarded\n"

    assert fetch(connection, "SELECT DISTINCT status, reason FROM messages") == [("discarded", "over")]


def test_an_edit_is_checked_and_requeued(run: Run, connection: Connection, bury: Bury) -> None:
    (message,) = bury()
    data = {"user_id": "ada", "event": "greeting", "content": "corrected"}

    wrong = run("edit", message, "--data", json.dumps({**data, "channel": "pigeon"}))
    done = run("edit", message, "--data", "-", input=json.dumps(data))

    assert (wrong.exit_code, "channel: no such channel: pigeon" in wrong.output) == (2, True)
    assert done.output == "1 requeued\n"
    assert fetch(connection, "SELECT data FROM outbox WHERE type = 'message.edited'") == [(data,)]


def test_what_nobody_knows_is_not_on_the_desk(run: Run) -> None:
    for arguments in (("show", new_id()), ("edit", new_id(), "--data", "{}")):
        result = run(*arguments)
        assert (result.exit_code, "not on the desk" in result.output) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "detail"),
    [
        (("list", "--since", "yesterday"), "yesterday is no date"),
        (("list", "--key", ""), "--key: Expected `str` of length >= 1"),
        (("list", "--error", "x" * 256), "--error: Expected `str` of length <= 255"),
        (("discard", "--reason", ""), "0 characters, it takes 1 to 500"),
        (("discard", "--reason", "x" * 501), "501 characters, it takes 1 to 500"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_option(run: Run, arguments: tuple[str, ...], detail: str) -> None:
    result = run(*arguments)

    assert (result.exit_code, detail in result.output) == (2, True)


def test_either_names_or_a_filter_say_which(run: Run, connection: Connection, bury: Bury) -> None:
    (message,) = bury()

    result = run("requeue", message, "--channel", "email")

    assert (result.exit_code, "not both" in result.output) == (2, True)
    assert status_of(connection, message) == "dead"


def test_a_wrong_setting_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "mysql://nowhere")

    result = run("list")

    assert (result.exit_code, "DATABASE_URL" in result.output) == (2, True)


def test_a_database_that_is_away_is_said(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://postgres@127.0.0.1:1/nowhere")

    result = run("list")

    assert (result.exit_code, "the database does not answer" in result.output) == (1, True)


def test_pausing_and_resuming_say_what_they_did(run: Run, connection: Connection) -> None:
    assert run("list").exit_code == 0  # its environment is that of the two below
    runner = CliRunner()

    paused = runner.invoke(pause_command, ["topic:notifications", "--reason", "maintenance"])
    assert paused.output == "paused: topic:notifications\n"
    assert fetch(connection, "SELECT scope, reason FROM pauses") == [("topic:notifications", "maintenance")]
    assert runner.invoke(resume_command, ["topic:notifications"]).output == "resumed: topic:notifications\n"
    assert runner.invoke(resume_command).output == "was not paused: all\n"
    assert runner.invoke(pause_command, ["topic:letters"]).exit_code == 2


def test_the_history_says_who_decided(run: Run, connection: Connection, bury: Bury) -> None:
    message, other = bury(count=2)
    run("edit", message, "--data", '{"user_id": "ada", "event": "greeting", "content": "better"}')
    run("discard", other, "--reason", "over")

    edited, discarded = (CliRunner().invoke(history, [str(one)]).output for one in (message, other))

    assert status_of(connection, message) == "pending"
    assert edited.count(f"actor {person()}") == 2  # the edit, and the request that follows it
    assert discarded.count(f"actor {person()}") == 1
