"""`herald set-aside`, as an operator types it."""

import json
import re
from datetime import timedelta
from functools import partial

import pytest
from click.testing import CliRunner

from herald.outbox.kafka.clients import make_admin
from herald.outbox.kafka.topics import make_topics
from herald.outbox.operate.set_aside import command
from herald.outbox.operate.status.command import command as status
from herald.outbox.postgres.connections import read_clock
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch
from herald.outbox.relay.set_aside import Aside, set_aside
from herald.outbox.scheduler.retention import forget_decisions
from herald.pipeline.audit.command import command as audit
from tests.outbox.connections import (
    accepted,
    assert_projection_equals_log,
    make_settings,
    notification,
    status_of,
    types_of,
)
from tests.outbox.operate.conftest import Run
from tests.outbox.operate.doctor.findings import look, look_once
from tests.outbox.relay.test_relay import Topic
from tests.outbox.relay.test_set_aside import write

DECIDED = "SELECT decision, decided_because FROM set_aside"


@pytest.fixture
def run(run: Run) -> Run:
    """Of this command."""
    return partial(run, command)


def put_aside(connection: Connection, stream: object, error: str = "no such thing") -> str:
    set_aside(connection, [Aside(str(stream), 1, "unpublishable", error)])
    connection.commit()
    return f"{stream}.1"


def test_the_list_names_them_and_why(run: Run, connection: Connection) -> None:
    (message,) = accepted(connection, notification())
    name = put_aside(connection, message, "expected [/b] after [red]")

    assert name in run("list").output
    assert "expected [/b] after [red]" in run("list").output
    ((one),) = json.loads(run("list", "--json").output)
    assert (one["topic"], one["reason"], one["status"], one["waits"]) == (
        "notifications",
        "unpublishable",
        "pending",
        True,
    )


def test_what_can_be_read_of_it_is_shown(run: Run, connection: Connection) -> None:
    name = put_aside(connection, write(connection, topic="no topic/", payload='{"a": 1}', recorded_at="infinity"))

    shown = run("show", name).output

    for column, text in (("topic", "no topic/"), ("payload", '{"a": 1}'), ("recorded_at", "infinity"), ("key", "-")):
        assert re.search(rf"^{column} +{re.escape(text)}$", shown, re.MULTILINE)
    assert "message      none" in shown


def test_a_discarded_row_ends_the_message_that_waits_for_it(run: Run, connection: Connection) -> None:
    (message,) = accepted(connection, notification())
    name = put_aside(connection, message)

    done = run("discard", name, "--reason", "written by hand")

    assert done.output == f"discarded {name}\n"
    assert status_of(connection, message) == "discarded"
    assert types_of(connection, message) == ["requested", "discarded"]
    ((decision, by, because),) = fetch(connection, "SELECT decision, decided_by, decided_because FROM set_aside")
    assert (decision, because) == ("discarded", "written by hand")
    assert re.fullmatch(r"cli:.+@.+", by)
    assert_projection_equals_log(connection)
    assert run("list").output.count("\n") == 1
    assert f"discarded by {by}" in run("list", "--all").output


def test_a_published_row_requests_the_message_that_waits_for_it(run: Run, connection: Connection) -> None:
    (message,) = accepted(connection, notification())
    name = put_aside(connection, message)

    done = run("publish", name, "--reason", "mended")

    assert done.output == f"requested again: {message}\n"
    assert types_of(connection, message) == ["requested", "requested"]
    assert fetch(connection, DECIDED) == [("published", "mended")]
    assert_projection_equals_log(connection)


def test_a_row_without_a_message_is_published_as_it_is(
    run: Run, connection: Connection, database: str, broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", broker)
    settings = make_settings(database, KAFKA_BOOTSTRAP_SERVERS=broker)
    make_topics(make_admin(settings), settings)
    stream = write(connection, data='{"a": 1}', key="ada")
    name = put_aside(connection, stream)

    done = run("publish", name)

    assert done.output == f"published {name}\n"
    ((record),) = Topic(broker).read()
    assert (record.key(), record.value()) == (b"ada", b'{"a": 1}')
    assert fetch(connection, DECIDED) == [("published", None)]


@pytest.mark.parametrize(
    ("columns", "complaint"),
    [
        ({"topic": "no topic/"}, "no topic of Kafka can have this name"),
        ({"payload": '"' + "x" * 2_100_000 + '"'}, "too large for a record"),
    ],
)
def test_what_still_cannot_be_published_stays(
    run: Run, connection: Connection, columns: dict[str, str], complaint: str
) -> None:
    name = put_aside(connection, write(connection, **columns))

    done = run("publish", name)

    assert done.exit_code == 1
    assert complaint in done.output
    assert fetch(connection, DECIDED) == [(None, None)]


def test_nothing_is_published_for_a_message_that_has_moved_on(run: Run, connection: Connection) -> None:
    (message,) = accepted(connection, notification())
    name = put_aside(connection, message)
    run("discard", name, "--reason", "first")

    assert "was discarded by cli:" in run("publish", name).output
    assert "not set aside" in run("publish", f"{message}.7").output
    assert run("publish", "x.1").exit_code == 2


def test_what_is_set_aside_is_named_by_status_doctor_and_audit(
    connection: Connection, database: str, broker: str
) -> None:
    (message,) = accepted(connection, notification())
    stranger = put_aside(connection, write(connection, topic="no topic/"))
    put_aside(connection, message)
    servers = {"DATABASE_URL": database, "KAFKA_BOOTSTRAP_SERVERS": broker, "COLUMNS": "200"}
    settings = make_settings(database, KAFKA_BOOTSTRAP_SERVERS=broker)
    make_topics(make_admin(settings), settings)

    shown = CliRunner().invoke(status, env=servers).output
    found = look_once(database, "set aside")
    report = json.loads(CliRunner().invoke(audit, ["--json", "--pending", "0", "--late", "0"], env=servers).output)

    assert f"set aside   2 unpublishable, the newest {message}.1: no such thing" in shown
    assert found.level == "problem"
    assert f"2 rows of the log are set aside as unpublishable, the newest {message}.1" in found.text
    findings = {one["check"]: one["ids"] for one in report["findings"]}
    assert findings["set-aside"] == [stranger, f"{message}.1"]
    assert "pending-long" not in findings


def test_what_was_decided_is_forgotten_with_the_retention(run: Run, connection: Connection, database: str) -> None:
    first, second = (put_aside(connection, message) for message in accepted(connection, notification(), notification()))
    run("discard", first, "--reason", "no")
    later = read_clock(connection) + timedelta(seconds=1)

    forget_decisions(connection, before=later)
    connection.commit()

    assert first not in run("list", "--all").output
    assert second in run("list").output
    assert [finding.level for finding in look(database, "set aside")] == ["problem"]
