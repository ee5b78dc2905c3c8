"""The topics that Herald makes, as a relay meets them."""

import time
from collections.abc import Iterable
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer, TopicCollection
from confluent_kafka.admin import NewTopic

from herald.outbox.kafka.clients import make_admin
from herald.outbox.kafka.topics import make_topics, names, read_topic_ids
from herald.outbox.settings import Settings
from tests.conftest import on_both_brokers

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


@on_both_brokers
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


class FakeAdmin:
    """Has no topics at first; refuses one with a code, whatever is asked of it."""

    def __init__(self, refused: str, code: int) -> None:
        self._refused, self._code = refused, code

    def list_topics(self, **_: object) -> Any:
        return SimpleNamespace(topics={})

    def create_topics(self, wanted: Iterable[NewTopic], **_: object) -> dict[str, Future[Any]]:
        return {one.topic: self._answer(one.topic, None) for one in wanted}

    def describe_topics(self, asked: TopicCollection, **_: object) -> dict[str, Future[Any]]:
        return {name: self._answer(name, SimpleNamespace(topic_id=f"id of {name}")) for name in asked.topic_names}

    def _answer(self, name: str, answer: object) -> Future[Any]:
        future: Future[Any] = Future()
        if name == self._refused:
            future.set_exception(KafkaException(KafkaError(self._code)))
        else:
            future.set_result(answer)
        return future


@pytest.mark.parametrize("code", [KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.INVALID_REPLICATION_FACTOR])
def test_a_topic_that_kafka_does_not_make_stops_no_other(code: int) -> None:
    refused, *others = names()
    admin: Any = FakeAdmin(refused, code)

    assert make_topics(admin, settings_of("127.0.0.1:1")) == others


def test_where_kafka_is_silent_no_topic_counts_as_refused() -> None:
    admin: Any = FakeAdmin(names()[0], KafkaError._TIMED_OUT)  # noqa: SLF001 - librdkafka's name

    with pytest.raises(KafkaException):
        make_topics(admin, settings_of("127.0.0.1:1"))


def test_a_topic_that_may_not_be_described_keeps_the_id_that_is_stored() -> None:
    hidden, *others = names()
    admin: Any = FakeAdmin(hidden, KafkaError.TOPIC_AUTHORIZATION_FAILED)
    seen = {name: f"id of {name}" for name in others}

    assert read_topic_ids(admin) == seen
    assert read_topic_ids(admin, {hidden: "stored"}) == {**seen, hidden: "stored"}
