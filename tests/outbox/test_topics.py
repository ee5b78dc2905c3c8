"""The topics that Herald makes, as a relay meets them."""

import time

import pytest
from confluent_kafka import KafkaError, Producer
from confluent_kafka.admin import NewTopic

from outbox.kafka import make_admin
from outbox.settings import Settings
from outbox.topics import make_topics, names

DAYS = 3 * 86_400_000  # ms
TIMEOUT = 20.0  # seconds


def settings_of(broker: str) -> Settings:
    return Settings(
        _env_file=None,
        DATABASE_URL="postgresql://127.0.0.1/herald",
        KAFKA_BOOTSTRAP_SERVERS=broker,
        HERALD_PARTITIONS=1,
    )


def publish_from_the_future(broker: str, *topics: str) -> dict[str, int]:
    """By a machine whose clock is three days ahead; the code of each refusal, 0 for what was taken."""
    codes: dict[str, int] = {}
    producer = Producer({"bootstrap.servers": broker, "enable.idempotence": True})
    for topic in topics:
        producer.produce(
            topic,
            b"{}",
            timestamp=int(time.time() * 1000) + DAYS,
            on_delivery=lambda error, record: codes.update({str(record.topic()): error.code() if error else 0}),
        )
    assert producer.flush(TIMEOUT) == 0
    return codes


def test_a_relay_whose_clock_is_days_ahead_can_publish(each_broker: str) -> None:
    settings = settings_of(each_broker)
    make_topics(make_admin(settings), settings)

    assert publish_from_the_future(each_broker, *names()) == dict.fromkeys(names(), 0)


@pytest.mark.kafka
def test_on_a_topic_that_somebody_else_made_kafka_refuses_it(kafka: str) -> None:
    """Which is why Herald's topics are made to have the broker's date."""
    admin = make_admin(settings_of(kafka))
    (made,) = admin.create_topics([NewTopic("another", 1, 1)]).values()
    made.result(TIMEOUT)

    assert publish_from_the_future(kafka, "another") == {"another": KafkaError.INVALID_TIMESTAMP}
