"""What surrounds Quix: its noise, and its end."""

import json
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from quixstreams import Application
from quixstreams.checkpointing.exceptions import CheckpointConsumerCommitError
from quixstreams.processing import ProcessingContext

from herald.outbox.kafka.topic_names import TopicNames
from herald.outbox.relay.producer import PRODUCER
from herald.pipeline.consume.application import (
    CONSUMER,
    QUIET,
    OncePerKind,
    PipelineApplication,
    run_until,
)
from herald.pipeline.consume.commits import survive_failed_commits
from herald.pipeline.consume.connection import BrokerWatch
from herald.pipeline.consume.inbox import Doorbell, Inbox
from herald.pipeline.consume.sink import DeliverySink
from tests.outbox.connections import make_settings
from tests.pipeline.topics import make_topics
from tests.servers.eventually import eventually

FLOOD, SOME = 10_000, 1_000  # records
LOOKS = 20  # at what is fetched and not read
ANSWER = 30.0  # seconds


class FakeApplication:
    """Forgets a stop that comes before its loop begins, as Quix does."""

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self.stops = 0

    def run(self) -> None:
        self._stopped.clear()
        assert self._stopped.wait(10)

    def stop(self) -> None:
        self.stops += 1
        if self.stops > 1:
            self._stopped.set()


class FakeContext:
    """Kafka answers every commit with this code."""

    def __init__(self, code: int) -> None:
        self._code = code
        self.checkpoints = 0

    def init_checkpoint(self) -> None:
        self.checkpoints += 1

    def commit_checkpoint(self, **_: bool) -> None:
        raise CheckpointConsumerCommitError(KafkaError(self._code))


def line(text: str, *arguments: object) -> logging.LogRecord:
    return logging.LogRecord("quixstreams", logging.ERROR, "", 0, text, arguments, None)


def test_a_stop_that_quix_forgets_is_repeated() -> None:
    stop = threading.Event()
    stop.set()
    application = FakeApplication()

    run_until(cast("Application", application), stop)

    assert application.stops >= 2


def test_a_dead_broker_is_reported_once_in_ten_seconds() -> None:
    now = 0.0
    once = OncePerKind(clock=lambda: now)
    text = 'Kafka consumer error: "BrokerWatch refused" code="%s"'

    assert once.filter(line(text, 1))
    assert not once.filter(line(text, 2))
    now = QUIET
    assert once.filter(line(text, 3))


def test_another_kind_of_error_is_reported_beside_it() -> None:
    once = OncePerKind(clock=lambda: 0.0)

    assert once.filter(line("Kafka producer error: broker is gone"))
    assert once.filter(line("Failed to commit"))


def test_a_commit_of_what_the_group_has_taken_away_is_dropped() -> None:
    context = FakeContext(KafkaError.UNKNOWN_MEMBER_ID)
    survive_failed_commits(cast("ProcessingContext", context))

    context.commit_checkpoint()

    assert context.checkpoints == 1


def test_a_commit_without_a_coordinator_is_tried_again_unless_the_partitions_go() -> None:
    context = FakeContext(KafkaError.NOT_COORDINATOR)
    survive_failed_commits(cast("ProcessingContext", context))

    context.commit_checkpoint()
    assert context.checkpoints == 0
    context.commit_checkpoint(force=True, revoking=True)

    assert context.checkpoints == 1


def made(
    inbox: Inbox, folder: Path, hand_over: Callable[[], None] = lambda: None
) -> tuple[PipelineApplication, DeliverySink]:
    sink = DeliverySink(inbox, TopicNames("a."))
    settings = make_settings("postgresql://localhost/none", KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
    connection = BrokerWatch(1.0, lambda _error: True)
    return PipelineApplication(settings, sink, (), hand_over, connection=connection, folder=folder), sink


def test_a_pipeline_that_fails_says_so_before_quix_closes_anything(tmp_path: Path) -> None:
    told: list[str] = []
    application, _ = made(Inbox(Doorbell()), tmp_path)
    application.on_failure = lambda: told.append("fails")

    application.stop()
    assert not told
    application.stop(fail=True)
    assert told == ["fails"]


def test_what_is_not_claimed_of_a_lost_partition_is_left_to_whoever_has_it_next(tmp_path: Path) -> None:
    inbox = Inbox(Doorbell())
    handed_over: list[int] = []
    application, sink = made(inbox, tmp_path, lambda: handed_over.append(len(inbox)))
    for partition in (0, 1, 0):
        sink.add(b"{}", None, 0, [], "a.notifications", partition, 0)

    application._on_lost(None, [TopicPartition("a.notifications", 0)])  # noqa: SLF001 - what Quix calls

    assert [one.partition for one in inbox.take(10)] == [1]
    assert handed_over == [1]
    inbox.settle(1)
    assert inbox.flush(0) == 3


def test_any_other_refusal_of_a_commit_ends_the_pipeline() -> None:
    context = FakeContext(KafkaError.GROUP_AUTHORIZATION_FAILED)
    survive_failed_commits(cast("ProcessingContext", context))

    with pytest.raises(CheckpointConsumerCommitError):
        context.commit_checkpoint(force=True, revoking=True)


@pytest.mark.kafka  # the embedded broker hands out whole partitions, whatever it is asked for
def test_some_hundreds_of_records_are_fetched_ahead_and_not_thousands(kafka: str) -> None:
    make_topics(kafka)
    producer = Producer({**PRODUCER, "bootstrap.servers": kafka})
    for number in range(FLOOD):
        producer.produce("notifications", os.urandom(200), partition=number % 2)  # what lz4 cannot shorten
    assert not producer.flush(ANSWER)
    ahead: list[int] = []

    def note(statistics: str) -> None:
        partitions = json.loads(statistics)["topics"].get("notifications", {"partitions": {}})["partitions"]
        ahead.append(sum(one["fetchq_cnt"] for one in partitions.values()))

    asked = {"bootstrap.servers": kafka, "group.id": "tests", "auto.offset.reset": "earliest", "stats_cb": note}
    consumer = Consumer({**CONSUMER, **asked, "statistics.interval.ms": 50})
    consumer.subscribe(["notifications"])

    eventually(lambda: consumer.poll(0), ANSWER, what="the first is there")
    ahead.clear()
    eventually(lambda: consumer.poll(0) and len(ahead) > LOOKS, ANSWER, what="what waits is counted")

    consumer.close()
    assert 0 < max(ahead) < SOME, ahead
