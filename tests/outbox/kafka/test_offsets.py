"""How far a group has read, asked of the embedded broker."""

from collections.abc import Iterator
from contextlib import closing

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from herald.outbox.kafka import offsets
from herald.outbox.kafka.clients import code, make_admin
from herald.outbox.kafka.offsets import read_committed
from herald.outbox.kafka.topics import make_topics
from herald.outbox.settings import Settings
from tests.outbox.connections import make_settings

NOBODY = "127.0.0.1:1"  # a port without a listener
NOTIFICATIONS = {"notifications": range(4)}


@pytest.fixture
def settings(broker: str) -> Settings:
    made = make_settings("postgresql://herald@localhost/herald", KAFKA_BOOTSTRAP_SERVERS=broker)
    make_topics(make_admin(made), made)
    return made


@pytest.fixture
def consumer(settings: Settings) -> Iterator[Consumer]:
    config = {"bootstrap.servers": settings.kafka_bootstrap_servers, "group.id": settings.group}
    with closing(Consumer(config)) as consumer:
        yield consumer


def test_partitions_without_a_commit_are_left_out(settings: Settings, consumer: Consumer) -> None:
    consumer.commit(offsets=[TopicPartition("notifications", 2, 7)], asynchronous=False)

    assert read_committed(settings, NOTIFICATIONS) == {"notifications": {"2": 7}}


def test_a_group_that_never_read_has_committed_nothing(settings: Settings) -> None:
    assert read_committed(settings, NOTIFICATIONS) == {}


def test_of_no_partitions_nothing_is_asked() -> None:
    assert read_committed(make_settings("postgresql://herald@localhost/herald"), {}) == {}


def test_a_topic_that_is_not_there_has_no_commits(settings: Settings) -> None:
    assert read_committed(settings, {"never_made": range(4)}) == {}


def test_who_is_asked_for_a_group_in_vain_is_told_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offsets, "ANSWER_TIMEOUT", 0.1)
    nobody = make_settings("postgresql://herald@localhost/herald", KAFKA_BOOTSTRAP_SERVERS=NOBODY)

    with pytest.raises(KafkaException) as ended:
        read_committed(nobody, NOTIFICATIONS)

    assert code(ended.value) == KafkaError._TIMED_OUT  # noqa: SLF001 - librdkafka's name
