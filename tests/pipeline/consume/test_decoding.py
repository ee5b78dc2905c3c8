"""From bytes to a request."""

import re
from collections.abc import Mapping
from typing import Any
from unittest.mock import Mock
from uuid import UUID

import msgspec
import pytest

from herald.outbox.message.dates import Dates
from herald.pipeline.consume.decoding import NO_HANDLER, Decoder
from herald.pipeline.consume.identity import EARLIEST, milliseconds_of
from herald.pipeline.consume.record import ElsewhereError, SourceError, UndecodableError
from herald.pipeline.consume.topic_ids import TopicIds
from herald.pipeline.topic import Topic
from herald.pipeline.topics import generic_topic, notifications
from tests.pipeline import parts
from tests.pipeline.records import LATEST, NOTIFICATION, NOW, arrival, new_id, own, own_headers

TOPICS = {"notifications": notifications.topic, "generic_topic": generic_topic.topic}
EVENT = [("ce_id", b"e-1"), ("ce_source", b"/shop"), ("ce_time", b"2026-11-01T12:00:00Z")]


def make_decoder(topics: Mapping[str, Topic] = TOPICS, **others: Any) -> Decoder:
    return parts.make_decoder(topics, **({"max_bytes": 10_000, "clock": lambda: 2**45 / 1000} | others))


def test_heralds_own_record_names_its_message_and_request() -> None:
    message = new_id()
    headers = own_headers(message, request=3, version=8, traceparent=b"00-aa-bb-01")

    request = make_decoder().decode(arrival(headers=headers))

    assert (request.id, request.request, request.version, request.key) == (message, 3, 8, "7")
    assert (request.data.content, request.traceparent, request.defect) == ("hello", "00-aa-bb-01", None)


def test_an_own_record_that_does_not_fit_its_topic_keeps_its_id_and_names_the_field() -> None:
    message = new_id()

    request = make_decoder().decode(own(message, {"user_id": "7", "event": 5, "content": "hello"}))

    assert request.id == message
    assert "$.event" in (request.defect or "")
    assert request.raw is not None


def test_an_own_record_that_is_not_json_has_nothing_to_store() -> None:
    request = make_decoder().decode(own(new_id(), b'1},{"id":"x"'))

    assert request.defect
    assert request.raw is None


@pytest.mark.parametrize(
    "spoiled",
    [("ce_subject", b"me"), ("ce_request", b"0"), ("ce_request", b"9999999999"), ("ce_id", b"x")],
)
def test_a_record_that_only_claims_to_be_heralds_is_foreign(spoiled: tuple[str, bytes]) -> None:
    request = make_decoder().decode(arrival(headers=[*own_headers(new_id()), spoiled]))

    assert request.version is None


@pytest.mark.parametrize("name", ["ce_subject", "ce_id", "ce_request"])
def test_a_record_of_heralds_source_with_a_null_header_is_undecodable(name: str) -> None:
    headers = [(one, None if one == name else value) for one, value in own_headers(new_id())]

    with pytest.raises(UndecodableError, match=f"`{name}` has no value"):
        make_decoder().decode(arrival(headers=headers))


@pytest.mark.parametrize("name", ["ce_source", "ce_id", "ce_time", "traceparent", "anything"])
def test_a_null_header_of_another_producer_is_one_that_is_not_there(name: str) -> None:
    assert make_decoder().decode(arrival(headers=[(name, None)])).id == make_decoder().decode(arrival()).id


def test_a_record_that_names_a_known_message_is_heralds_own_whatever_its_source() -> None:
    known = new_id()
    record = arrival(headers=own_headers(known, request=2, version=4, ce_source=b"/another"))

    request = make_decoder(is_known=known.__eq__).decode(record)

    assert (request.id, request.request, request.version) == (known, 2, 4)


def test_a_record_that_names_a_known_message_and_no_request_is_never_adopted() -> None:
    known = new_id()

    with pytest.raises(UndecodableError, match="Herald's own"):
        make_decoder(is_known=known.__eq__).decode(arrival(headers=[("ce_subject", str(known).encode())]))


@pytest.mark.parametrize(
    "damaged", [[], [("ce_subject", b"1")], [("ce_subject", b"\xff")], [("ce_subject", str(new_id()).encode())]]
)
def test_a_record_that_names_a_known_message_in_any_header_is_never_adopted(damaged: list[tuple[str, bytes]]) -> None:
    known = new_id()
    headers = [(name, value) for name, value in own_headers(known) if name != "ce_subject"]

    with pytest.raises(UndecodableError, match="Herald's own"):
        make_decoder(is_known=known.__eq__).decode(arrival(headers=[*headers, *damaged]))


def test_a_record_of_this_instance_is_its_own_whatever_its_source() -> None:
    message = new_id()
    record = arrival(headers=own_headers(message, ce_source=b"/another", ce_heraldinstance=b"one"))

    assert make_decoder(instance="one").decode(record).id == message


def test_a_record_of_another_instance_is_not_adopted() -> None:
    record = arrival(headers=own_headers(new_id(), ce_heraldinstance=b"two"))

    with pytest.raises(ElsewhereError):
        make_decoder(instance="one").decode(record)


@pytest.mark.parametrize("forged", [b"\xff", b"one"])
def test_what_forges_an_instance_and_names_no_message_is_undecodable(forged: bytes) -> None:
    with pytest.raises(UndecodableError, match="names no message"):
        make_decoder(instance="one").decode(arrival(headers=[("ce_heraldinstance", forged)]))


@pytest.mark.parametrize("sent", [b"\xff", b"00-\n", b"x" * 100_000, b"00-aa\0bb-cc-01", b""])
def test_a_traceparent_that_is_none_is_left_out(sent: bytes) -> None:
    assert make_decoder().decode(arrival(headers=[("traceparent", sent)])).traceparent is None
    assert make_decoder().decode(arrival(headers=own_headers(new_id(), traceparent=sent))).traceparent is None


def test_what_the_decoder_asks_and_gets_no_answer_to_is_no_records_fault() -> None:
    def is_away() -> int:
        raise ConnectionError

    with pytest.raises(SourceError):
        make_decoder(read_latest_date=is_away).decode(own(new_id()))


def test_an_own_record_whose_topics_code_fails_is_claimed_with_the_error() -> None:
    message, error = new_id(), KeyError("nobody foresaw it")
    topic = Topic(data=msgspec.Raw, handle=lambda _data, _delivery: None, dates=Mock(side_effect=error))

    request = make_decoder({"orders": topic}).decode(arrival(b"{}", topic="orders", headers=own_headers(message)))

    assert (request.id, request.error, request.defect) == (message, error, None)


@pytest.mark.parametrize("forged", [UUID(int=2**128 - 1), UUID("01890000-0000-4000-8000-000000000000")])
def test_an_id_that_herald_cannot_have_made_is_foreign(forged: UUID) -> None:
    assert make_decoder().decode(own(forged)).version is None


def test_an_own_id_from_the_far_future_is_foreign_because_no_partition_takes_it() -> None:
    message = new_id()
    date = milliseconds_of(message)

    assert make_decoder(read_latest_date=lambda: date - 1).decode(own(message)).version is None
    assert make_decoder(read_latest_date=lambda: date).decode(own(message)).version == 1


def test_a_machine_that_is_years_behind_knows_heralds_own_records() -> None:
    assert make_decoder(clock=lambda: 0.0).decode(own(new_id())).version == 1


def test_the_latest_date_is_asked_for_again_only_by_what_lies_beyond_the_last_answer() -> None:
    first, second, third = sorted(new_id() for _ in range(3))
    asked = iter([milliseconds_of(second), milliseconds_of(third)])
    decoder = make_decoder(read_latest_date=lambda: next(asked))

    assert [decoder.decode(own(one)).version for one in (second, first, third, first)] == [1, 1, 1, 1]


@pytest.mark.parametrize("timestamp", [-1, 0, EARLIEST - 1, LATEST + 1, 2**63])
def test_an_impossible_date_leads_to_the_first_partition(timestamp: int) -> None:
    assert milliseconds_of(make_decoder().decode(arrival(timestamp=timestamp)).id) == 0


def test_a_foreign_notification_is_adopted_with_its_user_as_key() -> None:
    request = make_decoder().decode(arrival({**NOTIFICATION, "user_id": 12}, key=None, offset=4))

    assert (request.version, request.request, request.key) == (None, 1, "12")
    assert (request.source, request.raw) == (
        "kafka:notifications/0/4",
        b'{"user_id":"12","event":"welcome","content":"hello"}',
    )


def test_a_foreign_notification_with_a_subject_that_no_mail_can_have_is_not_adopted() -> None:
    for subject, control in (("Order\t42", "U+0009"), ("=?UTF-8?Q?=0A?=Bcc: x@example.com", "U+000A")):
        with pytest.raises(
            UndecodableError, match=rf"control characters, here {re.escape(control)} - at `\$\.subject`"
        ):
            make_decoder().decode(arrival({**NOTIFICATION, "subject": subject}))


def test_a_foreign_event_keeps_its_bytes_and_its_key() -> None:
    request = make_decoder().decode(arrival(b'{ "a" : 1 }', key=b"k", topic="generic_topic"))

    assert (request.raw, request.key) == (b'{ "a" : 1 }', "k")


def test_a_redelivered_foreign_record_has_the_same_id() -> None:
    assert make_decoder().decode(arrival()).id == make_decoder().decode(arrival()).id


def test_the_same_place_on_a_recreated_topic_is_another_record() -> None:
    before = make_decoder(topic_ids=TopicIds(lambda: {"notifications": "one"})).decode(arrival())
    after = make_decoder(topic_ids=TopicIds(lambda: {"notifications": "two"})).decode(arrival())

    assert before.id != after.id


def test_a_cloudevent_that_its_producer_sent_twice_has_one_id() -> None:
    first = make_decoder().decode(arrival(headers=EVENT, offset=1, timestamp=NOW))
    second = make_decoder().decode(arrival(headers=EVENT, offset=9, timestamp=NOW + 60_000))

    assert first.id == second.id
    assert first.source == "/shop"


def test_a_cloudevent_without_a_time_is_still_adopted_once() -> None:
    first = make_decoder().decode(arrival(headers=EVENT[:2], timestamp=NOW))
    second = make_decoder().decode(arrival(headers=EVENT[:2], timestamp=NOW + 60_000))

    assert first.id == second.id


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "the record has no value"),
        (b"", "not valid JSON"),
        (b'{"user_id":"7"', "not valid JSON"),
        (b'"\xff"', "invalid UTF-8 at byte 1"),
        (b'"' + b"x" * 20_000 + b'"', "the limit is 10000"),
        (b"[" * 100 + b"]" * 100, "nested deeper"),
        (b'{"user_id":"7","event":"e","content":"\\u0000"}', r"contains NUL .* at `\$\.content`"),
        (b'{"user_id":"7","event":"e","content":"\\ud800"}', "lone surrogate"),
        (b'{"user_id":"7","event":"e"}', "missing required field `content`"),
        (b'{"user_id":"7","event":"e","content":[]}', r"at `\$\.content`"),
    ],
)
def test_what_cannot_be_a_notification_says_why(value: bytes | None, reason: str) -> None:
    with pytest.raises(UndecodableError, match=reason):
        make_decoder().decode(arrival(value))


def test_a_topic_without_a_handler_is_a_reason_of_its_own() -> None:
    with pytest.raises(UndecodableError, match=NO_HANDLER):
        make_decoder().decode(arrival(topic="unheard_of"))


@pytest.mark.parametrize("key", [b"\xff", b"a\0b", b"x" * 256])
def test_a_foreign_key_that_cannot_be_stored_is_refused(key: bytes) -> None:
    with pytest.raises(UndecodableError, match="the record's key"):
        make_decoder().decode(arrival(b"{}", key=key, topic="generic_topic"))


def test_a_topics_key_wins_over_the_records() -> None:
    topic = Topic(data=msgspec.Raw, handle=lambda _data, _delivery: None, key=lambda _data: "from data")
    decoder = make_decoder({"orders": topic})

    assert decoder.decode(arrival(b"{}", key=b"from record", topic="orders")).key == "from data"


def test_the_dates_of_what_another_producer_wrote_are_kept() -> None:
    dates = {"deliver_at": "2027-01-01T00:00:00Z", "deliver_by": "2027-01-02T00:00:00Z", "priority": 9}

    request = make_decoder(clock=lambda: NOW / 1000).decode(arrival({**NOTIFICATION, **dates}))

    assert request.dates == msgspec.convert(dates, Dates)


@pytest.mark.parametrize("date", ["0250-05-04T14:44:08.5772-23:35", "0001-01-01T00:00:00+01:00"])
def test_a_date_that_postgresql_refuses_is_undecodable_with_its_field(date: str) -> None:
    with pytest.raises(UndecodableError, match=r"UTC.*- at `\$\.deliver_at`"):
        make_decoder().decode(arrival({**NOTIFICATION, "deliver_at": date}))


def test_a_date_that_lies_too_far_ahead_is_refused_from_other_producers_as_well() -> None:
    with pytest.raises(UndecodableError, match=r"more than 366 days ahead.*- at `\$\.deliver_at`"):
        make_decoder(clock=lambda: NOW / 1000).decode(arrival({**NOTIFICATION, "deliver_at": "2100-01-01T00:00:00Z"}))
