"""What is over is sent again as a new message that names it."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from herald.outbox.message.events import Requested
from herald.outbox.message.state import FINAL, STATUSES
from herald.outbox.moves.accept import make_acceptance
from herald.outbox.moves.cancel import Reach, cancel
from herald.outbox.moves.claim import Record, claim
from herald.outbox.moves.decide import Edit, discard, requeue
from herald.outbox.moves.expire import expire
from herald.outbox.moves.record import Kind, Outcome, record_outcomes
from herald.outbox.moves.send_again import SentAgain, send_again
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.log import read_stream
from herald.outbox.postgres.statements import execute, fetch_column, fetch_one, fetch_value
from herald.outbox.registry import DEAD_LETTERS
from tests.outbox.connections import accepted, connected, notification, status_of
from tests.pipeline.records import new_id

# as hardly an encoder writes it: a name twice, a long number, escapes, spaces
ODD = b'{"b" : 1.10, "a":12345678901234567890.1,"b":1E2 , "t": "\\u00e4\\/"}'
PAST = datetime(2020, 1, 1, tzinfo=UTC)


def settle(connection: Connection, message: UUID, outcome: Kind, *, request: int = 1, **more: Any) -> None:
    (won,) = claim(connection, [Record(message, request)], lease=60).values()
    settled = Outcome(id=message, attempt=won.attempt, outcome=outcome, reason="so", **more)
    record_outcomes(connection, [settled], dead_letters=DEAD_LETTERS)


def one_in_each_status(connection: Connection) -> dict[str, UUID]:
    begun = [notification(user=status) for status in STATUSES]
    late = STATUSES.index("expired")
    begun[late] = msgspec.structs.replace(begun[late], deliver_by=PAST)
    made: dict[str, UUID] = dict(zip(STATUSES, accepted(connection, *begun), strict=True))
    expire(connection)
    settle(connection, made["sent"], "sent")
    settle(connection, made["unknown"], "unknown")
    settle(connection, made["failed"], "failed", retry_in=60.0)
    settle(connection, made["scheduled"], "postponed", retry_in=60.0)
    for status in ("dead", "discarded"):
        settle(connection, made[status], "dead")
    discard(connection, [made["discarded"]], reason="so")
    claim(connection, [Record(made["sending"], 1)], lease=60)
    cancel(connection, made["cancelled"])
    assert {status: status_of(connection, message) for status, message in made.items()} == {s: s for s in STATUSES}
    return made


def sent_again(connection: Connection, message: UUID, **more: Any) -> UUID:
    found = send_again(connection, message, **more)
    assert found is not None
    assert found.id is not None
    return found.id


def test_what_is_over_is_sent_again_and_all_else_is_refused_by_its_status(connection: Connection) -> None:
    made = one_in_each_status(connection)

    found = {status: send_again(connection, message) for status, message in made.items()}

    assert {status for status, again in found.items() if again and again.id} == FINAL
    for status in set(STATUSES) - FINAL:
        assert found[status] == (status, None)
        assert getattr(found[status], "refusal", "") == f"it is {status}: it can be sent again once it is over"
    assert [status_of(connection, message) for message in made.values()] == list(STATUSES)


def test_the_new_message_begins_as_any_other_and_names_the_first(connection: Connection) -> None:
    (message,) = accepted(connection, notification())
    settle(connection, message, "sent")

    again = sent_again(connection, message, actor="cli:ada@home", traceparent="00-a-b-01")

    (begun,) = read_stream(connection, again)
    assert begun.event == Requested(
        topic="notifications",
        key="ada",
        data=notification().data,
        request=1,
        cause="accepted",
        actor="cli:ada@home",
        traceparent="00-a-b-01",
        again_of=message,
    )
    assert claim(connection, [Record(again, 1)], lease=60)


@pytest.mark.parametrize("edit", [None, Edit(msgspec.Raw(b'{ "edited":1E2 }'), "other")])
def test_no_byte_of_what_it_carried_last_changes(connection: Connection, edit: Edit | None) -> None:
    (message,) = accepted(connection, make_acceptance("generic_topic", "k", ODD))
    settle(connection, message, "dead")
    if edit:
        requeue(connection, [message], edit=edit)
        settle(connection, message, "sent", request=2)

    again = sent_again(connection, message)

    carried = fetch_one(connection, "SELECT data::text, key FROM outbox WHERE stream_id = %s", str(again))
    assert carried == ((bytes(edit.data).decode(), edit.key) if edit else (ODD.decode(), "k"))


def test_it_leaves_at_once_without_the_firsts_deadline_group_and_sender(connection: Connection) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    options = {"deliver_at": tomorrow, "deliver_by": tomorrow + timedelta(days=1), "priority": 8, "group": new_id()}
    query = "SELECT send('generic_topic', '{}', NULL, %s::jsonb)::text"
    message = UUID(fetch_value(connection, query, msgspec.json.encode(options).decode()))
    cancel(connection, message)

    again = sent_again(connection, message)

    state = "SELECT status, due_at, deliver_by, priority, group_id, actor FROM messages WHERE id = %s"
    assert fetch_one(connection, state, str(again)) == ("pending", None, None, 8, None, None)


def test_what_was_sent_again_can_be_sent_again(connection: Connection) -> None:
    (message,) = accepted(connection, notification())
    cancel(connection, message)
    second = sent_again(connection, message)
    cancel(connection, second)

    third = sent_again(connection, second)

    query = "SELECT again_of::text FROM messages WHERE id = ANY (%s::uuid[]) ORDER BY id"
    named = fetch_column(connection, query, [str(second), str(third)])
    assert named == [str(message), str(second)]


def test_the_relay_is_told(connection: Connection) -> None:
    (message,) = accepted(connection, notification())
    cancel(connection, message)
    drawn = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM sends"
    before = fetch_value(connection, drawn)

    sent_again(connection, message)

    assert fetch_value(connection, drawn) == before + 1


def test_what_nobody_has_is_not_sent_again(connection: Connection) -> None:
    (message,) = accepted(connection, make_acceptance("generic_topic", None, b"{}"))
    cancel(connection, message)

    assert send_again(connection, new_id()) is None
    assert send_again(connection, message, reach=Reach(["notifications"])) is None


def test_what_lost_its_data_is_refused(database: str) -> None:
    with connected(database) as connection:
        (message,) = accepted(connection, notification())
        cancel(connection, message)
        execute(connection, "UPDATE messages SET data_version = 9 WHERE id = %s", str(message))

        found = send_again(connection, message)

        assert found == SentAgain("cancelled", None)
        assert found.refusal == "it is cancelled, and what it carried is not in the log any more"
