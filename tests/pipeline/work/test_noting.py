"""What went wrong with a call is in the log and in the metrics, and nothing of what it carried."""

from collections.abc import Iterator
from uuid import UUID

import pytest
from msgspec.structs import replace
from prometheus_client.samples import Sample
from structlog.testing import capture_logs

from herald.outbox.moves.claim import Record
from herald.outbox.moves.record import Outcome
from herald.outbox.watched.pipeline import METRICS
from herald.pipeline.deliver.attempt import Attempt
from herald.pipeline.deliver.noting import MOST_NAMED, OTHERS, Made, note_claimed
from herald.pipeline.work.ledger import Ledger
from tests.pipeline.parts import make_decoder, make_ledger, make_request
from tests.pipeline.records import accept, new_id, own, settings_for, statuses

WEBHOOK = "webhook:example.com"
ATTEMPTS = "herald_attempts_total"


def value(name: str, **labels: str) -> float:
    return METRICS.registry.get_sample_value(name, labels) or 0.0


@pytest.fixture
def ledger(database: str) -> Iterator[Ledger]:
    ledger = make_ledger(settings_for(database), patience=5.0)
    yield ledger
    ledger.close()


def test_an_outcome_that_is_late_is_logged_and_counted(database: str, ledger: Ledger) -> None:
    message, before = new_id(), value("herald_late_outcomes_total")
    accept(database, message)
    ledger.write([], [make_decoder().decode(own(message))], lambda one: Record(one.id, one.request))

    with capture_logs() as logs:
        ledger.write([sent(message)], [], record_of=lambda one: Record(one.id, one.request))
        assert [log["event"] for log in logs] == []
        late = replace(sent(message), seconds=0.0123)
        ledger.write([late], [], record_of=lambda one: Record(one.id, one.request))

    (line,) = logs
    assert line["milliseconds"] == 12.3
    assert (line["event"], line["id"], line["attempt"], line["outcome"]) == ("outcome_late", str(message), 1, "sent")
    assert value("herald_late_outcomes_total") == before + 1
    assert statuses(database) == {message: "sent"}


@pytest.mark.parametrize(
    ("kind", "event"), [("failed", "attempt_failed"), ("unknown", "attempt_unknown"), ("dead", "message_died")]
)
def test_a_call_that_fails_is_logged_without_contents(kind: str, event: str) -> None:
    request = make_request()
    failed = Outcome(id=request.id, attempt=3, outcome=kind, reason="a secret of ada's")  # type: ignore[arg-type]
    outcome = replace(failed, code="http_status", seconds=0.0123)

    with capture_logs() as logs:
        Made().note(Attempt(request, 3, 0.0, destination=WEBHOOK), outcome)

    assert logs == [
        {
            "event": event,
            "log_level": "warning",
            "id": str(request.id),
            "destination": WEBHOOK,
            "code": "http_status",
            "attempt": 3,
            "milliseconds": 12.3,
        }
    ]


def test_calls_are_counted_by_channel_outcome_and_code_and_what_was_given_back_has_no_duration() -> None:
    made, kinds = Made(), ("sent", "sent", "postponed")
    counts = [("sent", "sent"), ("postponed", "busy")]
    before = [attempts(*count) for count in counts], value("herald_attempt_seconds_count", channel="webhook")
    for kind in kinds:
        request = make_request()
        code = "busy" if kind == "postponed" else None
        outcome = Outcome(id=request.id, attempt=1, outcome=kind, code=code)  # type: ignore[arg-type]
        with capture_logs() as logs:
            made.note(Attempt(request, 1, 0.0, destination=WEBHOOK), outcome)
        assert logs == []

    made.count()

    (sent_before, given_back), calls = before
    assert [attempts(*count) for count in counts] == [sent_before + 2, given_back + 1]
    assert value("herald_attempt_seconds_count", channel="webhook") == calls + 2


def test_destinations_are_told_where_that_is_asked_for_and_no_more_than_a_hundred_of_them() -> None:
    made = Made(names_destinations=True)
    for number in range(MOST_NAMED + 2):
        request = make_request()
        outcome = Outcome(id=request.id, attempt=1, outcome="sent")
        made.note(Attempt(request, 1, 0.0, destination=f"counted:{number}.example.com"), outcome)
    before = value(ATTEMPTS, channel="counted", outcome="sent", code="sent", destination=OTHERS)

    made.count()

    shown = {sample.labels["destination"] for sample in samples(ATTEMPTS) if sample.labels["channel"] == "counted"}
    assert shown == {*(f"counted:{number}.example.com" for number in range(MOST_NAMED)), OTHERS}
    assert value(ATTEMPTS, channel="counted", outcome="sent", code="sent", destination=OTHERS) == before + 2


def samples(name: str) -> list[Sample]:
    return [one for family in METRICS.registry.collect() for one in family.samples if one.name == name]


def test_what_is_claimed_is_counted_with_its_retries_and_what_others_wrote() -> None:
    names = ("herald_claimed_messages_total", "herald_retries_total", "herald_adopted_messages_total")
    before = [value(name) for name in names]
    again, given_back = Attempt(make_request(), 2, 0.0), Attempt(make_request(), 2, 0.0, uncounted=1)

    note_claimed([again, given_back, Attempt(make_request(version=None), 1, 0.0)])

    assert [value(name) - old for name, old in zip(names, before, strict=True)] == [3, 1, 1]


def attempts(outcome: str, code: str) -> float:
    return value(ATTEMPTS, channel="webhook", outcome=outcome, code=code, destination="")


def sent(message: UUID) -> Outcome:
    return Outcome(id=message, attempt=1, outcome="sent")
