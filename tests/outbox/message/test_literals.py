"""Stored events of every type and schema, as a release wrote them: they stay readable for ever.

The files are never edited. A new type or schema adds a file, its digest and what it means today.
"""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from herald.outbox.message.events import (
    Adopted,
    Cancelled,
    Carried,
    DeadLettered,
    Discarded,
    Edited,
    Event,
    Expired,
    Failed,
    Late,
    OutcomeUnknown,
    Postponed,
    Recovered,
    Rejected,
    Requested,
    Scheduled,
    Sent,
    Started,
)
from herald.outbox.message.upcasting import known_schemas
from herald.outbox.postgres.log import decode

FOLDER = Path(__file__).parent / "literals"
STREAM = "01900000-0000-7000-8000-000000000001"
WHEN = datetime(2026, 1, 1, 12, 0, 5, 123456, tzinfo=UTC)
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
DIGESTS = {
    "message.requested.1": "2d2057f138281c93",
    "message.scheduled.1": "8a75295a2b097d82",
    "message.adopted.1": "fa599d54aba4bd0b",
    "message.recovered.1": "3f92887b097d91a2",
    "message.started.1": "130c8f995a170f88",
    "message.postponed.1": "32b5fe3143f8a22d",
    "message.sent.1": "071e2e1f0087be0e",
    "message.failed.1": "888b0919e42bcdd3",
    "message.unknown.1": "73e2089dc3b806a0",
    "message.dead_lettered.1": "2654d0c588498870",
    "message.rejected.1": "e9beb81cae8c9f44",
    "message.late.1": "afac10bf8d0757a3",
    "message.cancelled.1": "dab507030be72dd0",
    "message.expired.1": "aa527ce8f8e4f659",
    "message.edited.1": "510bcb7bfcae2e12",
    "message.discarded.1": "65265b5c3276b0ae",
    "message.carried.1": "8119c807f56c37a7",
}


def data(number: int) -> msgspec.Raw:
    return msgspec.Raw(b'{"n": %d}' % number)


MEANINGS: dict[str, Event] = {
    "message.requested.1": Requested(
        topic="notifications",
        key="ada",
        data=msgspec.Raw(b'{"event": "greeting", "content": "hello", "user_id": "ada"}'),
        request=1,
        cause="accepted",
        deliver_by=WHEN,
        priority=7,
        traceparent=TRACE,
    ),
    "message.scheduled.1": Scheduled(
        topic="generic_topic",
        key="ada",
        data=data(1),
        due_at=WHEN,
        deliver_by=datetime(2026, 1, 2, 12, tzinfo=UTC),
        priority=3,
    ),
    "message.adopted.1": Adopted(topic="generic_topic", key="ada", data=data(1), source="/elsewhere", priority=9),
    "message.recovered.1": Recovered(topic="generic_topic", key="ada", data=data(1), request=2, traceparent=TRACE),
    "message.started.1": Started(attempt=1, lease_until=WHEN, destination="webhook:hooks.example.com"),
    "message.postponed.1": Postponed(reason="paused", due_at=WHEN, destination="log"),
    "message.sent.1": Sent(attempt=1),
    "message.failed.1": Failed(attempt=1, reason="503", due_at=WHEN),
    "message.unknown.1": OutcomeUnknown(attempt=1, reason="no outcome before the lease ended", due_at=WHEN),
    "message.dead_lettered.1": DeadLettered(attempt=8, reason="no such address"),
    "message.rejected.1": Rejected(reason="Kafka refused the record: too large"),
    "message.late.1": Late(attempt=1, outcome="failed", reason="slow"),
    "message.cancelled.1": Cancelled(),
    "message.expired.1": Expired(deliver_by=WHEN),
    "message.edited.1": Edited(key="ada", data=data(2)),
    "message.discarded.1": Discarded(reason="outdated"),
    "message.carried.1": Carried(
        topic="generic_topic",
        key="ada",
        data=data(1),
        event=None,
        traceparent=TRACE,
        status="failed",
        request=2,
        attempts=3,
        reason="HTTP 503",
        reason_code="http_status",
        due_at=WHEN,
        requested_in=712,
        accepted_at=datetime(2026, 1, 1, 11, tzinfo=UTC),
        updated_at=datetime(2026, 1, 1, 11, 30, 0, 500000, tzinfo=UTC),
        sent_at=None,
        priority=7,
        deliver_by=datetime(2026, 1, 2, 12, tzinfo=UTC),
        destination="webhook:hooks.example.com",
        uncounted=1,
    ),
}


def test_every_known_type_and_schema_has_a_literal_with_its_digest_and_meaning() -> None:
    known = {f"{name}.{schema}" for name, schema in known_schemas()}

    assert {path.stem for path in FOLDER.iterdir()} == known
    assert DIGESTS.keys() == known
    assert MEANINGS.keys() == known


@pytest.mark.parametrize("name", DIGESTS)
def test_a_literal_is_never_edited(name: str) -> None:
    assert hashlib.sha256((FOLDER / f"{name}.json").read_bytes()).hexdigest()[:16] == DIGESTS[name]


@pytest.mark.parametrize("name", MEANINGS)
def test_a_stored_event_means_today_what_it_meant_then(name: str) -> None:
    row = json.loads((FOLDER / f"{name}.json").read_text())
    texts = None if row["data"] is None else json.dumps(row["data"]), json.dumps(row["payload"])

    recorded = decode((STREAM, 3, row["type"], row["schema"], row["topic"], row["key"], *texts, "700", WHEN))

    assert recorded.event == MEANINGS[name]
    assert (str(recorded.stream_id), recorded.version, recorded.transaction_id) == (STREAM, 3, 700)
    assert recorded.recorded_at == WHEN
