"""The producer of a publisher: no record of a key overtakes another, whatever fails."""

from collections.abc import Callable

from confluent_kafka import KafkaError, Producer

from herald.outbox.kafka.clients import librdkafka
from herald.outbox.settings import Settings

# No timeout in here: a record that times out in mid-pipeline is overtaken by the next one of its key.
PRODUCER = {
    "enable.idempotence": True,
    "acks": "all",
    "message.timeout.ms": 0,
    "compression.type": "lz4",
    "batch.num.messages": 200,  # whoever reads is given a whole batch, of one partition, before anything else
    "linger.ms": 5,  # while pages follow each other; whoever waits for acknowledgements waits for none of it
    "partitioner": "murmur2_random",  # the same partition as Java clients and Quix choose for a key
    "allow.auto.create.topics": False,
    "topic.metadata.refresh.interval.ms": 10_000,
    "topic.metadata.propagation.max.ms": 10_000,
    "reconnect.backoff.max.ms": 1_000,
    "socket.keepalive.enable": True,
    "socket.timeout.ms": 10_000,  # no timeout of a record: the same batch is sent again on a new connection
}
_ALONE = {"batch.num.messages": 1}


def make_producer(settings: Settings, on_error: Callable[[KafkaError], None], *, is_careful: bool) -> Producer:
    """Careful: each record in a batch of its own. What it holds is bounded by half of HERALD_MEMORY."""
    config = {**librdkafka(settings), **PRODUCER, **(_ALONE if is_careful else {})}
    config["queue.buffering.max.kbytes"] = settings.memory // 2048  # the pages ahead have a quarter
    return Producer({**config, "error_cb": on_error})
