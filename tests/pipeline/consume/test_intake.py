"""Whose fault it is that a record cannot be decoded."""

from typing import Any

import msgspec
import pytest

from herald.pipeline.consume.intake import TELL_AGAIN, Intake, decode_known_good
from herald.pipeline.consume.record import SourceError, UndecodableError
from herald.pipeline.consume.topic_ids import TopicIds
from herald.pipeline.topic import Topic
from tests.pipeline.parts import make_decoder
from tests.pipeline.records import arrival, new_id, own_headers

KEYS = {b'{"bad": true}': KeyError("nobody foresaw it")}


def find_key(data: msgspec.Raw) -> str:
    if bytes(data) in KEYS:
        raise KEYS[bytes(data)]
    return "key"


def make_intake(**others: Any) -> Intake:
    topic = Topic(data=msgspec.Raw, handle=lambda _data, _delivery: None, key=find_key)
    known = {name: others.pop(name) for name in ("probe", "clock") if name in others}
    return Intake(make_decoder({"orders": topic}, instance="one", **others), **known)


def test_an_error_that_nobody_foresaw_is_the_records_own_and_is_told_with_its_traceback(
    capsys: pytest.CaptureFixture[str],
) -> None:
    intake = make_intake()

    with pytest.raises(UndecodableError, match="KeyError: 'nobody foresaw it'"):
        intake.read(arrival(b'{"bad": true}', topic="orders"))

    assert intake.read(arrival(b"{}", topic="orders")) is not None
    assert "find_key" in capsys.readouterr().out


def test_no_record_is_at_fault_where_a_good_one_cannot_be_decoded_either() -> None:
    def fails() -> None:
        raise MemoryError

    with pytest.raises(MemoryError):
        make_intake(probe=fails).read(arrival(b'{"bad": true}', topic="orders"))


def test_a_kafka_that_does_not_tell_its_topics_ids_is_no_records_fault() -> None:
    def is_away() -> dict[str, str]:
        raise ConnectionError

    with pytest.raises(SourceError):
        make_intake(topic_ids=TopicIds(is_away)).read(arrival(b"{}", topic="orders"))


def test_records_that_are_known_to_be_good_can_be_decoded() -> None:
    decode_known_good()


def test_another_heralds_records_are_skipped_and_told_once_a_minute(capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    intake = make_intake(clock=lambda: now)
    theirs = arrival(b"{}", topic="orders", headers=own_headers(new_id(), ce_heraldinstance=b"two"))

    assert [intake.read(theirs) for _ in range(3)] == [None, None, None]
    now = TELL_AGAIN
    intake.read(theirs)

    told = [line for line in capsys.readouterr().out.splitlines() if "records_of_another_herald_skipped" in line]
    assert ["records=1 " in f"{told[0]} ", "records=4 " in f"{told[1]} "] == [True, True]
    assert len(told) == 2
