"""The topic of what cannot be decoded, on both brokers."""

from pathlib import Path

import pytest
from confluent_kafka import KafkaError
from confluent_kafka.admin import AdminClient, NewTopic

from herald.outbox.relay.errors import REFUSED_FOR_GOOD
from herald.pipeline.consume.dead_letters import REFUSALS, DeadLetterError, DeadLetters
from tests.pipeline.records import NOW, arrival
from tests.pipeline.topics import first_record, make_topics
from tests.servers.ports import free_port
from tests.servers.troubled_broker import TroubledBroker

HEADERS = [("ce_id", b"e-1")]


def make_dead_letters(broker: str, **config: str) -> None:
    topic = NewTopic("dead_letters", 1, 1, config=config)
    admin = AdminClient({"bootstrap.servers": broker})
    admin.create_topics([topic])["dead_letters"].result(10)


def send(broker: str, value: bytes) -> None:
    DeadLetters({"bootstrap.servers": broker}).send([(arrival(value, headers=HEADERS, offset=9), "not valid JSON")])


def test_a_dead_letter_keeps_its_bytes_and_says_where_it_came_from_and_why(each_broker: str) -> None:
    make_topics(each_broker)

    send(each_broker, b"\xffjunk")

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
    make_dead_letters(kafka, **{"max.message.bytes": "300000"})

    send(kafka, b"x" * 400_000)

    letter = first_record(kafka, "dead_letters")
    assert letter.value() == b"x" * 262_144
    assert dict(letter.headers() or [])["herald_cut_to"] == b"262144"


def test_a_dead_letter_keeps_null_headers_and_forges_no_origin(broker: str) -> None:
    make_topics(broker)
    hostile = arrival(b"junk", key=None, headers=[("ce_id", None), ("", b"\0\xff"), ("herald_topic", b"forged")])

    DeadLetters({"bootstrap.servers": broker}).send([(hostile, "why\0\udcff")])

    headers = first_record(broker, "dead_letters").headers() or []
    assert [value for name, value in headers if name == "herald_topic"] == [b"notifications"]
    assert [value for name, value in headers if name == "ce_id"] == [None]


@pytest.mark.kafka
def test_a_dead_letter_whose_headers_are_too_large_has_its_origin_alone(kafka: str) -> None:
    make_dead_letters(kafka, **{"max.message.bytes": "300000"})
    hostile = arrival(b"x" * 400_000, key=b"k" * 400_000, headers=[("h", b"y" * 400_000)], offset=9)

    DeadLetters({"bootstrap.servers": kafka}).send([(hostile, "why")])

    letter = first_record(kafka, "dead_letters")
    assert letter.value() == b"x" * 16_384
    assert dict(letter.headers() or [])["herald_left_out"] == b"key and headers"
    assert letter.key() == b"notifications/0/9"


@pytest.mark.kafka
def test_a_dead_letter_that_kafka_refuses_in_every_form_stops_no_other(
    kafka: str, capsys: pytest.CaptureFixture[str]
) -> None:
    make_dead_letters(kafka, **{"max.message.bytes": "9000"})
    hostile, good = arrival(b"x" * 400_000, offset=8), arrival(b"junk", offset=9)

    DeadLetters({"bootstrap.servers": kafka}).send([(hostile, "too large"), (good, "not valid JSON")])

    assert first_record(kafka, "dead_letters").value() == b"junk"
    assert "dead_letter_refused" in capsys.readouterr().out


def test_what_the_relay_takes_for_refused_is_refused_here_too() -> None:
    assert REFUSED_FOR_GOOD - {KafkaError.TOPIC_EXCEPTION} <= REFUSALS


def test_a_dead_letter_that_nobody_acknowledges_is_an_error() -> None:
    nowhere = DeadLetters({"bootstrap.servers": f"127.0.0.1:{free_port()}", "log_level": 0}, timeout=0.1)

    with pytest.raises(DeadLetterError, match="1 not acknowledged"):
        nowhere.send([(arrival(b"junk"), "not valid JSON")])


def test_a_dead_letter_goes_to_a_partition_that_has_a_leader(tmp_path: Path) -> None:
    with TroubledBroker(tmp_path) as troubled:
        admin = AdminClient({"bootstrap.servers": troubled.bootstrap_servers})
        admin.create_topics([NewTopic("dead_letters", 2, 1)])["dead_letters"].result(10)
        troubled.has_leader = lambda _topic, partition: partition == 1
        troubled.phase = "fenced"
        letters = DeadLetters({"bootstrap.servers": troubled.bootstrap_servers}, timeout=5.0)

        letters.send([(arrival(b"junk", key=b"%d" % number), "why") for number in range(10)])

    assert letters.count == 10
