"""The topic of what cannot be decoded, on both brokers."""

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from pipeline.dead_letters import DeadLetterError, DeadLetters
from tests.pipeline.records import NOW, arrival
from tests.pipeline.topics import first_record, make_topics
from tests.servers.ports import free_port

HEADERS = [("ce_id", b"e-1")]


def bury(broker: str, value: bytes) -> None:
    DeadLetters({"bootstrap.servers": broker}).bury([(arrival(value, headers=HEADERS, offset=9), "not valid JSON")])


def test_a_dead_letter_keeps_its_bytes_and_says_where_it_came_from_and_why(each_broker: str) -> None:
    make_topics(each_broker)

    bury(each_broker, b"\xffjunk")

    letter = first_record(each_broker, "dead_letters")
    assert (letter.value(), letter.key()) == (b"\xffjunk", b"7")
    assert dict(letter.headers() or []) == {
        "herald_reason": b"not valid JSON",
        "herald_topic": b"notifications",
        "herald_partition": b"0",
        "herald_offset": b"9",
        "herald_timestamp": str(NOW).encode(),
        "ce_id": b"e-1",
    }


@pytest.mark.kafka
def test_a_dead_letter_that_its_origin_makes_too_large_is_cut(kafka: str) -> None:
    admin = AdminClient({"bootstrap.servers": kafka})
    topic = NewTopic("dead_letters", 1, 1, config={"max.message.bytes": "300000"})
    admin.create_topics([topic])["dead_letters"].result(10)

    bury(kafka, b"x" * 400_000)

    letter = first_record(kafka, "dead_letters")
    assert letter.value() == b"x" * 262_144
    assert dict(letter.headers() or [])["herald_cut_to"] == b"262144"


def test_a_dead_letter_that_nobody_acknowledges_is_an_error() -> None:
    nowhere = DeadLetters({"bootstrap.servers": f"127.0.0.1:{free_port()}", "log_level": 0}, timeout=0.1)

    with pytest.raises(DeadLetterError, match="1 not acknowledged"):
        nowhere.bury([(arrival(b"junk"), "not valid JSON")])
