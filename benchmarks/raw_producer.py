"""The relay's rival: a bare producer that sends the relay's own records from memory."""

import json
from time import monotonic
from typing import Any

import click
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition

from benchmarks.machine import watched
from herald.outbox.relay.producer import PRODUCER
from herald.outbox.settings import load_settings

Record = tuple[bytes | None, bytes | None, Any]
UNHURRIED = {"linger.ms": 5}  # librdkafka's default: it has no latency to keep low, and is faster with it than without
POLL_EVERY = 500  # records between two looks at the delivery reports


@click.command()
@click.option("--source", required=True)
@click.option("--target", required=True)
@click.option("--count", type=int, required=True)
def main(source: str, target: str, count: int) -> None:
    """Copy COUNT records: read all of them first, then time the sending until the last acknowledgement."""
    bootstrap_servers = load_settings().kafka_bootstrap_servers
    records = _read(bootstrap_servers, source, count)
    producer = Producer({"bootstrap.servers": bootstrap_servers, **PRODUCER, **UNHURRIED})
    producer.list_topics(target, timeout=10.0)  # connected, like a relay that has started

    began = monotonic()
    with watched() as span:
        delivered = _send(producer, target, records)

    click.echo(json.dumps({"rate": delivered / (monotonic() - began), "count": delivered, "idle": span.idle}))


def _send(producer: Producer, topic: str, records: list[Record]) -> int:
    delivered = 0

    def count(error: KafkaError | None, _record: Message) -> None:
        nonlocal delivered
        assert error is None, error
        delivered += 1

    for number, (key, value, headers) in enumerate(records):
        while True:
            try:
                producer.produce(topic, value, key, headers=headers, on_delivery=count)
                break
            except BufferError:
                producer.poll(0.01)
        if number % POLL_EVERY == 0:
            producer.poll(0)
    producer.flush()
    assert delivered == len(records)
    return delivered


def _read(bootstrap_servers: str, topic: str, count: int) -> list[Record]:
    """In the order in which the relay sent them: by the ids, which begin with their time."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap_servers, "group.id": "copying", "auto.offset.reset": "earliest"}
    )
    partitions = consumer.list_topics(topic, timeout=10.0).topics[topic].partitions
    consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
    found: list[Message] = []
    while len(found) < count:
        found += [record for record in consumer.consume(10_000, 1.0) if not record.error()]
    consumer.close()
    found.sort(key=lambda record: dict(record.headers() or [])["ce_id"] or b"")
    return [(record.key(), record.value(), record.headers()) for record in found]


if __name__ == "__main__":
    main()
