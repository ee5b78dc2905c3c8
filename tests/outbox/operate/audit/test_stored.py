"""Corruptions of what PostgreSQL stores, planted one at a time in a system that was healthy."""

import json
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from herald.outbox.moves.claim import Record, claim
from herald.outbox.moves.pauses import pause
from herald.outbox.moves.record import Outcome, record_outcomes
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch
from herald.outbox.registry import DEAD_LETTERS
from herald.pipeline.testing.clock import VirtualClock
from tests.outbox.connections import accepted, change, execute_and_commit, notification, status_of
from tests.outbox.operate.audit.conftest import Ask, Delivered, Run

HOUR = 3600.0  # seconds
DUE = "due-partitions"
MONTH_KEPT = {"HERALD_RETENTION": "2592000"}
MOVE = "UPDATE relay_cursor SET previous = pg_current_snapshot(), epoch = epoch + 1"  # whatever is there


def test_a_system_that_has_delivered_everything_is_clean(
    audit: Run, system: dict[str, str], connection: Connection
) -> None:
    ((events,),) = fetch(connection, "SELECT count(*) FROM outbox")

    report = audit(system, "--grace", "0", "--late", "0", "--pending", "0")

    assert report.found == []
    assert report.exit_code == 0
    assert report.looked_at["projection"] == f"7 rows, {events} events of 7 streams"
    assert report.looked_at["not-in-log"] == "5 records of Herald"
    assert report.looked_at["foreign-not-adopted"] == "2 records of other producers"


def test_an_event_deleted_in_the_middle_of_a_stream_is_a_gap(
    audit: Run, system: dict[str, str], connection: Connection, delivered: Delivered
) -> None:
    execute_and_commit(connection, "DELETE FROM outbox WHERE stream_id = %s AND version = 2", delivered.sent[0])

    report = audit(system)

    assert report.found == [("version-gap", "loss", delivered.sent[:1])]
    assert report.exit_code == 1


def test_a_stream_whose_first_event_was_deleted_has_a_gap(
    audit: Run, system: dict[str, str], connection: Connection, delivered: Delivered
) -> None:
    execute_and_commit(connection, "DELETE FROM outbox WHERE stream_id = %s AND version = 1", delivered.sent[0])

    assert audit(system).found == [("version-gap", "loss", delivered.sent[:1])]


def test_a_row_that_knows_more_than_the_log_is_left_alone(
    audit: Run, system: dict[str, str], connection: Connection, delivered: Delivered
) -> None:
    execute_and_commit(connection, "DELETE FROM outbox WHERE stream_id = %s AND version = 3", delivered.sent[0])

    report = audit(system, "--repair", "--yes")

    assert report.found == [("projection", "loss", delivered.sent[:1])]
    assert report.output["repaired"] == {}
    assert status_of(connection, UUID(delivered.sent[0])) == "sent"


def test_an_event_of_a_type_that_this_release_does_not_know_is_found(
    audit: Run, system: dict[str, str], connection: Connection, delivered: Delivered
) -> None:
    execute_and_commit(connection, "ALTER TABLE outbox DROP CONSTRAINT outbox_event_type_is_known")
    execute_and_commit(
        connection,
        "UPDATE outbox SET type = 'message.teleported' WHERE stream_id = %s AND version = 3",
        delivered.sent[0],
    )

    assert audit(system).found == [("unreadable-event", "contradiction", delivered.sent[:1])]


@pytest.mark.parametrize(
    "columns",
    ["recorded_at = '-infinity'", "recorded_at = '4713-01-01 BC'", "payload = '[1]'", "payload = '[true]'"],
)
def test_what_somebody_else_wrote_into_the_log_is_found_and_ends_no_audit(
    audit: Run, system: dict[str, str], connection: Connection, delivered: Delivered, columns: str
) -> None:
    execute_and_commit(
        connection, f"UPDATE outbox SET {columns} WHERE stream_id = %s AND version = 3", delivered.sent[0]
    )

    assert ("unreadable-event", "contradiction", delivered.sent[:1]) in audit(system).found


def test_a_changed_row_is_found_and_written_anew(
    audit: Run, system: dict[str, str], connection: Connection, delivered: Delivered
) -> None:
    changed, *others = delivered.sent[:3]
    execute_and_commit(connection, "UPDATE messages SET attempts = 7, event = 'changed' WHERE id = %s", changed)
    execute_and_commit(
        connection, "UPDATE messages SET status = 'dead', sent_at = NULL WHERE id = ANY (%s::uuid[])", others
    )

    report = audit(system)

    assert report.found == [
        ("projection", "contradiction", sorted(delivered.sent[:3])),
        ("queues", "contradiction", sorted(others)),
    ]
    says = "3 rows differ from the fold of their events (status 2, sent_at 2, event 1, attempts 1)"
    assert report.wrong[0]["says"] == says
    mended = audit(system, "--repair", "--yes")
    assert (mended.exit_code, mended.found) == (0, [])
    assert mended.output["repaired"] == {"rows and queues written from the log": 3}


def test_a_deleted_row_is_found_and_written_anew(
    audit: Run, system: dict[str, str], connection: Connection, delivered: Delivered
) -> None:
    execute_and_commit(connection, "DELETE FROM messages WHERE id = %s", delivered.sent[0])

    assert audit(system).found == [("projection", "contradiction", delivered.sent[:1])]
    assert audit(system, "--repair", "--yes").found == []
    assert status_of(connection, UUID(delivered.sent[0])) == "sent"


def test_a_row_without_events_is_found_and_left_alone(
    audit: Run, system: dict[str, str], connection: Connection, delivered: Delivered
) -> None:
    added = str(UUID(int=UUID(delivered.sent[0]).int + 1))
    execute_and_commit(
        connection, "CREATE TEMP TABLE copied AS SELECT * FROM messages WHERE id = %s", delivered.sent[0]
    )
    execute_and_commit(connection, "UPDATE copied SET id = %s", added)
    execute_and_commit(connection, "INSERT INTO messages SELECT * FROM copied")

    assert audit(system, "--repair", "--yes").found == [("projection", "loss", [added])]
    assert status_of(connection, UUID(added)) == "sent"


def test_a_message_that_left_the_database_is_known_from_kafka(
    audit: Run, system: dict[str, str], connection: Connection, delivered: Delivered
) -> None:
    execute_and_commit(connection, "DELETE FROM outbox WHERE stream_id = %s", delivered.sent[0])
    execute_and_commit(connection, "DELETE FROM messages WHERE id = %s", delivered.sent[0])

    assert audit(system).found == [("not-in-log", "loss", [f"{delivered.sent[0]}.1"])]


def test_what_has_left_with_its_partition_is_not_missed(
    audit: Run, system: dict[str, str], connection: Connection, delivered: Delivered, tmp_path: Path
) -> None:
    left, ledger = delivered.sent[0], tmp_path / "ledger"
    execute_and_commit(connection, "DELETE FROM outbox WHERE stream_id = %s", left)
    execute_and_commit(connection, "DELETE FROM messages WHERE id = %s", left)
    execute_and_commit(connection, "UPDATE closing SET horizon = %s", str(UUID(int=UUID(left).int + 1)))
    ledger.write_text(json.dumps({"id": left, "saw": "delivered"}))

    assert audit(system, "--ledger", str(ledger)).found == []


def test_an_event_that_is_another_on_kafka_is_found(
    audit: Run, system: dict[str, str], connection: Connection, delivered: Delivered
) -> None:
    execute_and_commit(
        connection,
        "UPDATE outbox SET type = 'message.cancelled', payload = '{}' WHERE stream_id = %s AND version = 1",
        delivered.sent[0],
    )

    found = audit(system).found

    assert ("not-in-log", "contradiction", [f"{delivered.sent[0]}.1"]) in found
    assert ("unreadable-event", "contradiction", delivered.sent[:1]) in found


def test_a_foreign_record_that_nobody_adopted_is_found_by_its_place(
    audit: Run, system: dict[str, str], connection: Connection
) -> None:
    ((adopted,),) = fetch(connection, "SELECT stream_id::text FROM outbox WHERE type = 'message.adopted'")
    ((source,),) = fetch(connection, "SELECT payload ->> 'source' FROM outbox WHERE type = 'message.adopted'")
    execute_and_commit(connection, "DELETE FROM outbox WHERE stream_id = %s", adopted)
    execute_and_commit(connection, "DELETE FROM messages WHERE id = %s", adopted)

    assert audit(system).found == [("foreign-not-adopted", "loss", [source.removeprefix("kafka:")])]


def test_a_request_that_the_cursor_passed_unpublished_is_found_and_requested_again(
    audit: Run, system: dict[str, str], connection: Connection
) -> None:
    (message,) = accepted(connection, notification())
    execute_and_commit(connection, MOVE)

    assert audit(system).found == []  # a running relay would find it within the grace
    assert audit(system, "--grace", "0").found == [("not-on-kafka", "loss", [str(message)])]
    mended = audit(system, "--grace", "0", "--repair", "--yes")
    assert (mended.exit_code, mended.found) == (0, [])
    assert fetch(connection, "SELECT request FROM messages WHERE id = %s", str(message)) == [(2,)]


def test_what_is_not_published_yet_is_late_and_not_lost(
    audit: Run, system: dict[str, str], connection: Connection
) -> None:
    (message,) = accepted(connection, notification())

    assert audit(system, "--grace", "0").found == []
    assert audit(system, "--grace", "0", "--late", "0").found == [("not-published", "late", [str(message)])]


def test_a_partition_that_is_due_is_found_while_it_holds_what_is_not_published(
    audit: Run, system: dict[str, str], connection: Connection
) -> None:
    message, _ = accepted(connection, notification(), notification())
    partition = "SELECT tableoid::regclass::text FROM outbox WHERE stream_id = %s"
    ((held,),) = fetch(connection, partition, str(message))
    clock = VirtualClock(system["DATABASE_URL"])
    clock.install()
    clock.advance(days=70)

    due = [finding for finding in audit(system | MONTH_KEPT, "--limit", "1").wrong if finding["check"] == DUE]

    assert [(finding["severity"], finding["ids"], finding["count"]) for finding in due] == [("late", [held], 1)]
    assert DUE not in {check for check, _, _ in audit(system).found}  # everything is kept


def test_a_partition_that_is_due_and_published_is_left_to_the_relay(
    audit: Run, system: dict[str, str], connection: Connection
) -> None:
    accepted(connection, notification(), notification())
    execute_and_commit(connection, MOVE)
    clock = VirtualClock(system["DATABASE_URL"])
    clock.install()
    clock.advance(days=70)

    report = audit(system | MONTH_KEPT)

    assert DUE not in {check for check, _, _ in report.found}
    assert report.looked_at[DUE] == "partitions that ended 30.0 d ago"


def test_an_attempt_past_its_lease_is_found_and_settled(
    audit: Run, system: dict[str, str], connection: Connection
) -> None:
    ended, running = accepted(connection, notification(), notification())
    claim(connection, [Record(ended, 1)], lease=-HOUR)
    claim(connection, [Record(running, 1)], lease=HOUR)

    assert audit(system).found == [("lease-ended", "late", [str(ended)])]
    mended = audit(system, "--repair", "--yes")
    assert (mended.exit_code, mended.found) == (0, [])
    assert (status_of(connection, ended), status_of(connection, running)) == ("failed", "sending")


def failed(connection: Connection, *, retry_in: float) -> str:
    (message,) = accepted(connection, notification())
    claim(connection, [Record(message, 1, "log")], lease=HOUR)
    outcome = Outcome(id=message, attempt=1, outcome="failed", reason="busy", retry_in=retry_in)
    record_outcomes(connection, [outcome], dead_letters=DEAD_LETTERS)
    return str(message)


def test_a_retry_that_nobody_requests_is_overdue(audit: Run, system: dict[str, str], connection: Connection) -> None:
    due = failed(connection, retry_in=-HOUR)
    failed(connection, retry_in=HOUR)

    assert audit(system).found == [("overdue", "late", [due])]


@pytest.mark.parametrize("holds", ["a pause", "a breaker"])
def test_what_is_held_back_is_not_overdue(
    audit: Run, system: dict[str, str], connection: Connection, holds: str
) -> None:
    failed(connection, retry_in=-HOUR)
    if holds == "a pause":
        pause(connection, "channel:log", reason=None)
    else:
        execute_and_commit(
            connection,
            "INSERT INTO breakers (destination, failures, opened_at, probe_at)"
            " VALUES ('log', 9, clock_timestamp(), clock_timestamp())",
        )

    assert audit(system).found == []


def test_a_message_in_a_wrong_queue_is_found_and_put_right(
    audit: Run, system: dict[str, str], connection: Connection, delivered: Delivered
) -> None:
    waits, sent = failed(connection, retry_in=HOUR), delivered.sent[0]
    execute_and_commit(connection, "DELETE FROM waiting WHERE id = %s", waits)
    execute_and_commit(connection, "INSERT INTO unfinished (id) VALUES (%s)", sent)

    assert audit(system).found == [("queues", "contradiction", sorted([waits, sent]))]
    mended = audit(system, "--repair", "--yes")
    assert (mended.exit_code, mended.found) == (0, [])
    assert mended.output["repaired"] == {"rows and queues written from the log": 2}


def test_a_message_past_its_last_date_that_nobody_expires_is_found(
    audit: Run, system: dict[str, str], connection: Connection
) -> None:
    message = failed(connection, retry_in=HOUR)
    past = "now() - interval '1 hour'"
    change(connection, f"UPDATE messages SET deliver_by = {past} WHERE id = %s", message)
    execute_and_commit(
        connection,
        "UPDATE outbox SET payload = payload || jsonb_build_object('deliver_by', m.deliver_by)"
        " FROM messages AS m WHERE m.id = stream_id AND stream_id = %s AND outbox.version = 1",
        message,
    )

    assert audit(system).found == [("not-expired", "late", [message])]


def test_a_request_that_waits_for_long_is_found(audit: Run, system: dict[str, str], connection: Connection) -> None:
    (message,) = accepted(connection, notification())

    assert ("pending-long", "late", [str(message)]) in audit(system, "--pending", "0").found


def test_what_a_ledger_knows_and_the_log_does_not_is_found(
    audit: Run, system: dict[str, str], connection: Connection, delivered: Delivered, tmp_path: Path
) -> None:
    (pending,) = accepted(connection, notification())
    lost, ledger = str(uuid4()), tmp_path / "ledger"
    lines = [delivered.sent[0], lost, *({"id": one, "saw": "delivered"} for one in (delivered.sent[1], str(pending)))]
    ledger.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))

    report = audit(system, "--ledger", str(ledger))

    assert report.found == [
        ("accepted-not-in-log", "loss", [lost]),
        ("delivered-not-recorded", "contradiction", [str(pending)]),
    ]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("hello", "badly formed hexadecimal UUID string"),
        ('{"id": "x"}', "Invalid UUID - at `$.id`"),
        ('{"id": "01a20d8f-4f28-74a8-b08e-1544f1f0bb20", "saw": "gone"}', "Invalid enum value 'gone' - at `$.saw`"),
    ],
)
def test_a_line_that_is_no_entry_is_named(
    ask: Ask, system: dict[str, str], tmp_path: Path, line: str, complaint: str
) -> None:
    ledger = tmp_path / "ledger"
    ledger.write_text(f"\n{line}\n")

    result = ask(system, "--ledger", str(ledger))

    assert result.exit_code == 2
    assert result.output.startswith(f"{ledger}, line 2: {complaint}")


def test_a_cursor_of_other_clusters_is_found(audit: Run, system: dict[str, str], connection: Connection) -> None:
    execute_and_commit(connection, "UPDATE relay_cursor SET system_identifier = '1', cluster_id = 'another'")

    assert audit(system).found == [("clusters", "contradiction", ["1"]), ("clusters", "contradiction", ["another"])]


@pytest.mark.parametrize(
    "change", ["floor = 1000000", "last_position = 1000000, target = previous", "previous = '900000:900000:'"]
)
def test_a_cursor_that_speaks_of_the_future_is_found(
    audit: Run, system: dict[str, str], connection: Connection, change: str
) -> None:
    execute_and_commit(connection, f"UPDATE relay_cursor SET {change}")

    assert audit(system).found == [("cursor", "contradiction", [])]


def test_an_end_below_one_that_was_noted_is_found(audit: Run, system: dict[str, str], connection: Connection) -> None:
    execute_and_commit(
        connection,
        "INSERT INTO relay_pages (epoch, snapshot, end_offsets)"
        ' VALUES (1000000, pg_current_snapshot(), \'{"notifications": {"0": 1000000, "1": 0}}\')',
    )

    assert audit(system).found == [("end-offsets", "contradiction", ["notifications/0"])]


def test_messages_of_before_are_left_out(
    audit: Run, system: dict[str, str], connection: Connection, delivered: Delivered
) -> None:
    execute_and_commit(connection, "UPDATE messages SET attempts = 7 WHERE id = %s", delivered.sent[0])

    report = audit(system, "--since", "2099-01-01")

    assert report.found == []
    assert report.looked_at["projection"] == "0 rows, 0 events of 0 streams"
    assert report.looked_at["not-in-log"] == "0 records of Herald"
