"""The partition of a key, compared with what a real producer chooses."""

import random

import pytest
from confluent_kafka import KafkaError, Message, Producer

from herald.outbox.kafka.clients import make_admin
from herald.outbox.kafka.partitioner import murmur2, partition_of
from herald.outbox.kafka.topics import make_topics
from herald.outbox.relay.producer import PRODUCER
from tests.outbox.connections import make_settings

PARTITIONS = 7
# https://github.com/apache/kafka/blob/trunk/clients/src/test/java/org/apache/kafka/common/utils/UtilsTest.java
JAVA = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize(("key", "hashed"), JAVA.items())
def test_the_hash_is_that_of_java(key: bytes, hashed: int) -> None:
    assert murmur2(key) == hashed & 0xFFFFFFFF


def test_a_key_has_the_partition_that_the_relays_producer_chooses(broker: str) -> None:
    settings = make_settings(
        "postgresql://herald@localhost/herald", KAFKA_BOOTSTRAP_SERVERS=broker, partitions=PARTITIONS
    )
    make_topics(make_admin(settings), settings)
    producer = Producer({"bootstrap.servers": broker, **PRODUCER})
    rng = random.Random(11)  # noqa: S311 - nothing is secret here
    keys = {rng.randbytes(length) for length in range(1, 60) for _ in range(20)} | {"Zürich-☃".encode(), b""}
    chosen: dict[bytes, int] = {}

    def note(error: KafkaError | None, message: Message) -> None:
        assert error is None
        chosen[message.key() or b""] = message.partition() or 0

    for key in keys:
        producer.produce("notifications", b"", key, on_delivery=note)
    assert producer.flush(20) == 0

    assert len(chosen) > 1000
    assert chosen == {key: partition_of(key, PARTITIONS) for key in keys}
    assert set(chosen.values()) == set(range(PARTITIONS))
