from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
import pytest

from herald.outbox.message.events import (
    Carried,
    DeadLettered,
    Event,
    Failed,
    Late,
    Recorded,
    Rejected,
    Requested,
    Sent,
    Started,
)
from herald.outbox.message.state import evolve, fold

STREAM = UUID("01900000-0000-7000-8000-000000000001")
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
DATA = msgspec.Raw(b'{"n": 1}')
REQUESTED = Requested(topic="notifications", key="ada", data=DATA, request=1, cause="accepted")


def stream(*events: Event) -> list[Recorded]:
    return [
        Recorded(
            stream_id=STREAM,
            version=number,
            event=event,
            transaction_id=700 + number,
            recorded_at=NOON + timedelta(seconds=number),
        )
        for number, event in enumerate(events, start=1)
    ]


def test_a_requested_message_is_pending() -> None:
    message = fold(stream(REQUESTED))

    assert (message.status, message.version, message.request, message.attempts) == ("pending", 1, 1, 0)
    assert message.requested_in == 701


def test_a_started_message_is_due_when_its_lease_ends() -> None:
    lease_until = NOON + timedelta(seconds=60)

    message = fold(stream(REQUESTED, Started(attempt=1, lease_until=lease_until)))

    assert (message.status, message.attempts, message.due_at) == ("sending", 1, lease_until)


def test_a_sent_message_has_its_date_and_is_due_no_more() -> None:
    message = fold(stream(REQUESTED, Started(attempt=1, lease_until=NOON), Sent(attempt=1)))

    assert (message.status, message.sent_at, message.due_at) == ("sent", NOON + timedelta(seconds=3), None)


def test_a_failed_message_waits_for_its_date_and_keeps_its_reason_when_requested_again() -> None:
    due_at = NOON + timedelta(seconds=9)
    failed = (REQUESTED, Started(attempt=1, lease_until=NOON), Failed(attempt=1, reason="busy", due_at=due_at))
    again = Requested(topic="notifications", key="ada", data=DATA, request=2, cause="retry")

    waiting, pending = fold(stream(*failed)), fold(stream(*failed, again))

    assert (waiting.status, waiting.due_at, waiting.reason) == ("failed", due_at, "busy")
    assert (pending.status, pending.request, pending.due_at, pending.reason) == ("pending", 2, None, "busy")
    assert pending.requested_in == 704


@pytest.mark.parametrize("end", [DeadLettered(attempt=0, reason="no"), Rejected(reason="no")])
def test_a_dead_message_says_why(end: Event) -> None:
    message = fold(stream(REQUESTED, end))

    assert (message.status, message.reason, message.due_at) == ("dead", "no", None)


def test_a_late_outcome_changes_nothing_but_the_version() -> None:
    sent = (REQUESTED, Started(attempt=1, lease_until=NOON), Sent(attempt=1))

    before, after = fold(stream(*sent)), fold(stream(*sent, Late(attempt=1, outcome="sent")))

    assert (after.status, after.sent_at, after.version) == (before.status, before.sent_at, before.version + 1)


def test_a_carried_message_is_what_it_was_whatever_came_before() -> None:
    before = fold(stream(REQUESTED, Started(attempt=1, lease_until=NOON), Failed(attempt=1, reason="no", due_at=NOON)))
    state = {name: getattr(before, name) for name in Carried.__struct_fields__}
    carried = Recorded(
        stream_id=before.id, version=9, event=Carried(**state), transaction_id=999, recorded_at=NOON + timedelta(days=9)
    )

    assert (
        evolve(None, carried) == evolve(before, carried) == msgspec.structs.replace(before, version=9, data_version=9)
    )


def test_a_stream_begins_with_a_request() -> None:
    with pytest.raises(ValueError, match="cannot be the first event"):
        fold(stream(Sent(attempt=1)))


def test_an_empty_stream_is_no_message() -> None:
    with pytest.raises(ValueError, match="at least one event"):
        fold([])
